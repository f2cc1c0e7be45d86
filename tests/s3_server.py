"""SeaweedFS, an S3-compatible server: a pytest plugin that starts one, and what is in it as its operator sees it."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import SecretStr

from app.embedded.ports import free_port
from app.embedded.processes import spawn
from core.settings import Settings

BUCKET: Final = "originals"
KEY, SECRET = "colloquy-key", "colloquy-secret-of-the-tests"
WIDE_KEY: Final = "key-for-any-bucket"
"""With the same secret: what may not be there does not hide what is not there."""
_OPERATOR, _OPERATORS_SECRET = "operator-key", "operator-secret-of-the-tests"
# What docs/operations.md asks for. Whoever may do all to all buckets is given those that do not exist.
_RIGHTS = [f"{right}:{BUCKET}" for right in ("Read", "Write", "List")]
_START_SECONDS = 30.0


class S3Server:
    """The running server."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def settings(self, settings: Settings, prefix: str, **changes: Any) -> Settings:
        """Settings of a product that keeps its originals here, soon tired of a failure."""
        values = {
            "s3_bucket": BUCKET,
            "s3_endpoint": self.url,
            "s3_access_key_id": SecretStr(KEY),
            "s3_secret_access_key": SecretStr(SECRET),
            "s3_prefix": prefix,
            "s3_timeout": 10.0,
            **changes,
        }
        return settings.model_copy(update=values)

    async def objects(self, prefix: str) -> dict[str, int]:
        """Names below the prefix, and their bytes."""
        async with self._operator() as client:
            answer = await client.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/")
        return {found["Key"].removeprefix(f"{prefix}/"): found["Size"] for found in answer.get("Contents", ())}

    async def unfinished(self, prefix: str) -> list[str]:
        """Names below the prefix that something is being uploaded to in parts."""
        async with self._operator() as client:
            answer = await client.list_multipart_uploads(Bucket=BUCKET, Prefix=f"{prefix}/")
        return [found["Key"].removeprefix(f"{prefix}/") for found in answer.get("Uploads", ())]

    async def remove(self, prefix: str, name: str) -> None:
        """Remove an object behind everybody's back."""
        async with self._operator() as client:
            await client.delete_object(Bucket=BUCKET, Key=f"{prefix}/{name}")

    async def begin(self) -> None:
        """Wait until it answers, and make the bucket."""
        async with asyncio.timeout(_START_SECONDS), self._operator() as client:
            while True:
                try:
                    await client.create_bucket(Bucket=BUCKET)
                    return
                except (BotoCoreError, ClientError):
                    await asyncio.sleep(0.05)  # it says nowhere when it is ready

    @asynccontextmanager
    async def _operator(self) -> AsyncIterator[Any]:
        async with get_session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id=_OPERATOR,
            aws_secret_access_key=_OPERATORS_SECRET,
            config=AioConfig(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, connect_timeout=2),
        ) as client:
            yield client


@asynccontextmanager
async def s3_server(folder: Path) -> AsyncIterator[S3Server]:
    """The server, empty but for its bucket. It ends with the block, and with the process whatever happens."""
    program = shutil.which("weed", path=str(Path(sys.executable).parent))
    assert program is not None, "SeaweedFS is missing: it comes with requirements-dev.lock, where there is a wheel"
    identities = [
        {
            "name": name,
            "credentials": [{"accessKey": key, "secretKey": secret}],
            "actions": actions,
        }
        for name, key, secret, actions in (
            ("operator", _OPERATOR, _OPERATORS_SECRET, ["Admin"]),
            ("colloquy", KEY, SECRET, _RIGHTS),
            ("wide", WIDE_KEY, SECRET, ["Read", "Write", "List"]),
        )
    ]
    (folder / "data").mkdir()
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    names = ("master", "volume", "filer", "s3")
    ports = {part: (free_port(), free_port()) for part in names}
    command: list[str | Path] = [program, "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    for part, (port, grpc) in ports.items():
        command += [f"-{part}.port={port}", f"-{part}.port.grpc={grpc}"]
    # Doors that nobody uses stand at ports that two servers would share; and nobody is told that this one runs.
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
    command += ["-filer", "-s3", f"-s3.config={folder / 's3.json'}", "-volume.max=20", "-master.volumeSizeLimitMB=512"]
    with (folder / "log").open("wb") as log:
        process = spawn(command, log=log, cwd=folder, death_signal=signal.SIGKILL)
    try:
        server = S3Server(ports["s3"][0])
        await server.begin()
        yield server
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)


@pytest.fixture(scope="session")
async def s3(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[S3Server]:
    """The server of this process's tests: each has a prefix of its own."""
    async with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def prefix() -> str:
    """Of a test's own objects."""
    return f"test-{secrets.token_hex(8)}"
