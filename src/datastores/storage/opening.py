"""Which storage of originals this deployment has, and whether it is there."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from core.errors import ConfigurationError
from core.settings import Settings
from datastores.storage.base import FileStorage, StorageError
from datastores.storage.folder import FolderStorage

if TYPE_CHECKING:
    from datastores.storage.s3_wire import Refusal

PROBE_SECONDS = 5.0
_ALONE = ("s3_endpoint", "s3_access_key_id", "s3_secret_access_key", "s3_prefix", "s3_addressing")
_ABOUT_THE_KEY = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken"})
_ABOUT_THE_REGION = frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect"})


@asynccontextmanager
async def open_storage(settings: Settings) -> AsyncGenerator[FileStorage, None]:
    """The bucket of S3_BUCKET, else the folder DATA_DIR/files. Asks nobody anything. Raises `ConfigurationError`."""
    check_storage_settings(settings)
    if settings.s3_bucket is None:
        yield FolderStorage(settings.data_dir / "files")
        return
    # Not at the top: the client takes a third of a second to load, which who does without it need not wait.
    from datastores.storage.copies import LocalCopies
    from datastores.storage.s3 import S3Storage
    from datastores.storage.s3_wire import s3_wire

    copies = LocalCopies(settings.data_dir / "copies")
    await asyncio.to_thread(copies.remove_abandoned)
    async with s3_wire(settings) as wire:
        yield S3Storage(wire, settings.s3_prefix, copies)


def check_storage_settings(settings: Settings) -> None:
    """Raises `ConfigurationError` where the settings contradict each other."""
    if settings.s3_bucket is None:
        for name in _ALONE:
            if getattr(settings, name) is not None:
                raise ConfigurationError(f"S3_BUCKET: not set, but {name.upper()} is. Set both, or neither.")
        return
    if (settings.s3_access_key_id is None) != (settings.s3_secret_access_key is None):
        missing, given = "S3_SECRET_ACCESS_KEY", "S3_ACCESS_KEY_ID"
        if settings.s3_access_key_id is None:
            missing, given = given, missing
        raise ConfigurationError(f"{missing}: not set, but {given} is. Set both, or neither.")
    certificates = settings.s3_root_certificates
    if certificates is not None:
        try:
            ssl.create_default_context(cafile=certificates)
        except OSError as error:
            raise ConfigurationError(f"S3_ROOT_CERTIFICATES: {certificates} is no PEM file ({error}).") from None
    from datastores.storage.s3 import MOST_BYTES

    if settings.upload_max_bytes > MOST_BYTES:
        raise ConfigurationError(f"UPLOAD_MAX_BYTES: {MOST_BYTES} at most where S3_BUCKET is set.")


async def probe_storage(settings: Settings) -> None:
    """One request to the bucket, if there is one. Raises `ConfigurationError`, which never has the secret."""
    check_storage_settings(settings)
    if settings.s3_bucket is None:
        return
    from datastores.storage.s3_wire import Refusal, lacks_key, s3_wire

    async with s3_wire(settings, PROBE_SECONDS) as wire:
        try:
            # What `delete` begins with, and the answer of which says what is wrong.
            await wire.unfinished(settings.s3_prefix or "-")
        except Refusal as refusal:
            raise ConfigurationError(_refused(settings, refusal)) from None
        except StorageError as error:
            if lacks_key(error):
                raise ConfigurationError(
                    "S3_ACCESS_KEY_ID: not set, and this machine has no key of its own. Set it."
                ) from None
            told = f"could not connect to {_server(settings)} ({_reason(error)})"
            raise ConfigurationError(f"S3_ENDPOINT: {told}. Start it, or correct S3_ENDPOINT.") from None


def _refused(settings: Settings, refusal: Refusal) -> str:
    server, code = _server(settings), refusal.code
    if code == "NoSuchBucket":
        return f"S3_BUCKET: {server} has no bucket {settings.s3_bucket!r}. Create it, or correct S3_BUCKET."
    if code in _ABOUT_THE_KEY:
        return f"S3_ACCESS_KEY_ID: {server} does not take it ({code}). Correct it, or S3_SECRET_ACCESS_KEY."
    if code in _ABOUT_THE_REGION:
        return f"S3_REGION: {server} does not take {settings.s3_region!r} ({code}). Correct it."
    if code == "AccessDenied":
        told = f"does not let it list the unfinished uploads of the bucket {settings.s3_bucket!r} ({code})"
        return f"S3_ACCESS_KEY_ID: {server} {told}. Give it the rights, or correct S3_BUCKET."
    return f"S3_BUCKET: {server} refuses ({code})."


def _server(settings: Settings) -> str:
    return settings.s3_endpoint or f"Amazon S3 in {settings.s3_region}"


def _reason(error: BaseException) -> str:
    causes = list(_causes(error))
    told = " ".join(map(str, causes))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            # The HTTP client's own has no reason.
            reason = getattr(cause, "reason", None)
            return f"TLS failed: {reason or cause.strerror or 'no certificate that is trusted'}"
        if isinstance(cause, socket.gaierror):
            return "no such host"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes) or "Connect call failed" in told:
        return "refused"
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return f"no answer within {PROBE_SECONDS:.0f} s"
    return type(causes[1] if len(causes) > 1 else causes[0]).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
