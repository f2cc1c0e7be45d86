"""One key's way to Gemini: loads the SDK when it is first needed, and checks settings that only it can judge."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING

import structlog

from core.errors import ConfigurationError, ErrorCode, ProviderError
from providers.gemini.failures import closing

if TYPE_CHECKING:
    from providers.gemini.wire import Wire

_log = structlog.get_logger(__name__)

_ENDPOINT = "generativelanguage.googleapis.com:443"


class GeminiConnection:
    """Holds one key, and the channels that are open with it. Two of them, with two keys, live in one process."""

    def __init__(self, *, api_key: str, timeout: float, endpoint: str | None, root_certificates: bytes | None) -> None:
        """`timeout` in seconds; `root_certificates` (PEM) replace the system's. Raises `ConfigurationError`."""
        key = api_key.strip()
        # It travels in an HTTP/2 header; anything else would surface as an internal error of the channel.
        if not key or " " in key or not key.isascii() or not key.isprintable():
            raise ConfigurationError("GEMINI_API_KEY: expected one word of ASCII letters, digits and signs.")
        if endpoint is not None and "/" in endpoint:
            raise ConfigurationError("GEMINI_ENDPOINT: expected host:port, without a scheme or a path.")
        self._key = key
        self._timeout = timeout
        self._endpoint = endpoint or _ENDPOINT
        self._root_certificates = root_certificates
        self._wire: Wire | None = None
        self._closed = False

    async def wire(self) -> Wire:
        """The open wire. The first call in a process loads the SDK, in a thread, so that the loop keeps turning."""
        if self._wire is None:
            module = await asyncio.to_thread(importlib.import_module, "providers.gemini.wire")
            # Nothing is awaited from here on, so that two first callers get the same one.
            if self._closed:
                raise closing()
            if self._wire is None:
                self._wire = module.Wire(
                    api_key=self._key,
                    timeout=self._timeout,
                    endpoint=self._endpoint,
                    root_certificates=self._root_certificates,
                )
        return self._wire

    async def check_model(self, model: str, *, method: str, setting: str) -> None:
        """Ask the vendor whether `model` exists and can do `method` (`generateContent`, `embedContent`).

        Raises `ConfigurationError` when it cannot or the key is refused; warns in the log when the vendor gives no
        answer, because a start must not depend on another company's good day.
        """
        try:
            methods = await (await self.wire()).methods_of(model, setting=setting)
        except ProviderError as error:
            if error.code is ErrorCode.PROVIDER_AUTH:
                raise ConfigurationError(
                    "GEMINI_API_KEY: Gemini refused the key. Make a new one, or unset it to use the local provider."
                ) from error
            if error.code is ErrorCode.PROVIDER_BAD_RESPONSE and not error.retryable:
                raise ConfigurationError(
                    f"{setting}: Gemini has no model {model!r} for this key; it never existed or is switched off. "
                    f"Set {setting} to a model of https://ai.google.dev/gemini-api/docs/models."
                ) from error
            _log.warning("gemini_model_not_checked", model=model, setting=setting, reason=error.message)
            return
        # A gateway may leave the list empty; then only the first call can tell.
        if methods and method not in methods:
            raise ConfigurationError(
                f"{setting}: Gemini's model {model!r} cannot do {method}; it does {', '.join(sorted(methods))}."
            )

    async def has_model(self, model: str, *, method: str, setting: str) -> bool | None:
        """The same for `ChatProvider.has_model`: whether it exists and can do `method`. Raises PROVIDER_AUTH."""
        try:
            methods = await (await self.wire()).methods_of(model, setting=setting)
        except ProviderError as error:
            if error.code is ErrorCode.PROVIDER_AUTH:
                raise
            missing = error.code is ErrorCode.PROVIDER_BAD_RESPONSE and not error.retryable
            return False if missing else None
        return not methods or method in methods

    async def aclose(self) -> None:
        """End running calls (they fail with PROVIDER_UNAVAILABLE) and close the channels. Safe to call twice."""
        self._closed = True
        if self._wire is not None:
            await self._wire.aclose()
