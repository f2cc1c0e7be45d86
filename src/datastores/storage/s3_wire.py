"""The S3 client: one bucket's few requests, each bounded in time, and their failures in two words."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError

from core.errors import ConfigurationError
from core.settings import Settings
from datastores.storage.base import StorageError

TRIES: Final = 3
"""Of one request, within its time."""
CONNECT_SECONDS: Final = 5.0
CONNECTIONS: Final = 100
"""Of one process. A request holds one for a part of 8 MiB at most, never for as long as somebody downloads."""
_MISSING = frozenset({"404", "NoSuchKey"})


class Refusal(StorageError):
    """The server's answer is an error: its `code`, as `NoSuchBucket`."""

    def __init__(self, operation: str, code: str, message: str) -> None:
        super().__init__(f"{operation}: {code}: {message}")
        self.code = code


class Unreachable(StorageError):
    """No answer came, or none in time. The error behind it says why."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is told of an object: bytes, and seconds since 1970."""

    size: int
    modified: float


class S3Wire:
    """Requests about one bucket."""

    def __init__(self, client: Any, bucket: str, timeout: float) -> None:
        self._client, self._bucket, self._timeout = client, bucket, timeout

    async def head(self, key: str) -> Found | None:
        """None where there is no such object."""
        try:
            answer = await self._ask("head_object", Key=key)
        except Refusal as refusal:
            if refusal.code not in _MISSING:
                raise
            # The answer has no body that would say which of the two is missing.
            await self._ask("head_bucket")
            return None
        return Found(int(answer["ContentLength"]), answer["LastModified"].timestamp())

    async def get(self, key: str, start: int, length: int) -> bytes:
        """At most so many bytes of an object from there on; that is at least one."""
        return await self._ask("get_object", _body, Key=key, Range=f"bytes={start}-{start + length - 1}")  # type: ignore[no-any-return]

    async def put(self, key: str, content: BytesIO) -> None:
        """Write an object as a whole."""
        await self._ask("put_object", Key=key, **await _sent(content))

    async def begin(self, key: str) -> str:
        """Begin an upload in parts; its id."""
        return (await self._ask("create_multipart_upload", Key=key))["UploadId"]  # type: ignore[no-any-return]

    async def put_part(self, key: str, upload: str, number: int, content: BytesIO) -> str:
        """Write a part, the first of which is number 1; its tag."""
        values = {"UploadId": upload, "PartNumber": number, **await _sent(content)}
        return (await self._ask("upload_part", Key=key, **values))["ETag"]  # type: ignore[no-any-return]

    async def complete(self, key: str, upload: str, tags: list[str]) -> None:
        """Make the parts an object."""
        parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
        await self._ask("complete_multipart_upload", Key=key, UploadId=upload, MultipartUpload={"Parts": parts})

    async def abort(self, key: str, upload: str) -> None:
        """Drop an upload and its parts; it may be gone."""
        try:
            await self._ask("abort_multipart_upload", Key=key, UploadId=upload)
        except Refusal as refusal:
            if refusal.code not in (*_MISSING, "NoSuchUpload"):
                raise

    async def unfinished(self, key: str) -> list[str]:
        """The uploads in parts to an object that have neither been completed nor aborted, a thousand at most."""
        answer = await self._ask("list_multipart_uploads", Prefix=key)
        return [upload["UploadId"] for upload in answer.get("Uploads", ()) if upload["Key"] == key]

    async def delete(self, key: str) -> None:
        """Remove an object; it may be gone."""
        try:
            await self._ask("delete_object", Key=key)
        except Refusal as refusal:
            if refusal.code not in _MISSING:
                raise

    async def _ask(self, operation: str, read: Any = None, **values: Any) -> Any:
        try:
            # Not left to the client: its time limits are for a connection and for silence, not for the whole.
            async with asyncio.timeout(self._timeout):
                answer = await getattr(self._client, operation)(Bucket=self._bucket, **values)
                return answer if read is None else await read(answer)
        except ClientError as error:
            told = error.response.get("Error", {})
            raise Refusal(operation, str(told.get("Code")), str(told.get("Message"))) from error
        except (BotoCoreError, HTTPClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{operation}: {type(error).__name__}") from error


async def _body(answer: Any) -> bytes:
    async with answer["Body"] as body:
        return await body.read()  # type: ignore[no-any-return]


async def _sent(content: BytesIO) -> dict[str, Any]:
    """A body from its beginning, and what the server compares with what has arrived: of the checksums the one that
    every server knows."""
    content.seek(0)
    digest = await asyncio.to_thread(hashlib.md5, content.getbuffer(), usedforsecurity=False)
    return {"Body": content, "ContentMD5": base64.b64encode(digest.digest()).decode()}


@asynccontextmanager
async def s3_wire(settings: Settings, most_seconds: float | None = None) -> AsyncGenerator[S3Wire, None]:
    """Inside the block the bucket of the settings can be asked; nothing is asked yet. Raises `ConfigurationError`."""
    assert settings.s3_bucket is not None
    key, secret = settings.s3_access_key_id, settings.s3_secret_access_key
    seconds = most_seconds or settings.s3_timeout
    own = settings.s3_endpoint is not None
    config = AioConfig(
        connect_timeout=min(CONNECT_SECONDS, seconds),
        read_timeout=seconds,
        retries={"mode": "standard", "total_max_attempts": TRIES},
        max_pool_connections=CONNECTIONS,
        signature_version="s3v4",
        s3={
            "addressing_style": settings.s3_addressing or ("path" if own else "virtual"),
            # Else each part is hashed on the event loop. What is signed is its checksum.
            "payload_signing_enabled": False,
        },
        # Only what we send ourselves: servers that are not Amazon's do not know the client's way of sending more.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        warm_up_loader_caches=True,
    )
    certificates = settings.s3_root_certificates
    try:
        opening = get_session().create_client(
            "s3",
            region_name=settings.s3_region,
            endpoint_url=settings.s3_endpoint,
            aws_access_key_id=None if key is None else key.get_secret_value(),
            aws_secret_access_key=None if secret is None else secret.get_secret_value(),
            verify=None if certificates is None else str(certificates),
            config=config,
        )
        client = await opening.__aenter__()
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"S3_BUCKET: the client cannot be made ({error}). Correct the S3_ settings.") from None
    try:
        yield S3Wire(client, settings.s3_bucket, seconds)
    finally:
        await opening.__aexit__(None, None, None)


def lacks_key(error: StorageError) -> bool:
    """Whether no request was made, for want of a key to sign it with."""
    return isinstance(error.__cause__, NoCredentialsError)
