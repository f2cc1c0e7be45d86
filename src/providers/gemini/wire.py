"""Google's SDK, and nothing of it outside this module: gRPC calls in, plain values and `ProviderError` out.

Loading it takes 0.5-1 s and 58 MB, so `GeminiConnection` imports it with the first call.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncGenerator, Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
import numpy as np
import numpy.typing as npt
import structlog
from grpc.aio import EOF  # type: ignore[attr-defined]  # the stubs lack it

from core.errors import ProviderError
from providers import failures
from providers.base import ChatRequest
from providers.gemini.failures import Asked, Refusal, closing, refused

# Both are announced on import and are known (docs/decisions/gemini-sdk.md); where warnings are errors they would make
# the import fail. By message, because the module they are attributed to is whoever imports first.
warnings.filterwarnings("ignore", r"\s*All support for the `google\.generativeai` package has ended", FutureWarning)
warnings.filterwarnings("ignore", r"You are using a Python version .* which Google will stop", FutureWarning)

from google.ai import generativelanguage_v1beta as services  # noqa: E402  (after the filters)
from google.api_core.exceptions import GoogleAPICallError  # noqa: E402
from google.api_core.gapic_v1.client_info import ClientInfo  # noqa: E402
from google.generativeai import __version__ as _sdk_version  # noqa: E402
from google.generativeai import protos  # noqa: E402
from google.rpc.error_details_pb2 import RetryInfo  # noqa: E402

_log = structlog.get_logger(__name__)

# Google's front ends allow 100 calls at once on one HTTP/2 connection and let the next wait unseen
# (https://grpc.io/docs/guides/performance): a further channel is opened before that.
_CALLS_PER_LINE = 90
_CHANNEL_OPTIONS = (
    # As the SDK's own transport has them.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # gRPC's documented way to a connection of its own for each channel; channels to one host may share one, and its
    # limit, otherwise.
    ("grpc.use_local_subchannel_pool", 1),
    # A connection that died without a word is found by the ping, during a call, and not by every call's timeout.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # By default up to 120 s: the vendor would be back, and every call still refused.
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)
# What the SDK's own entry point would call itself.
_CLIENT_INFO = ClientInfo(user_agent=f"genai-py/{_sdk_version}")  # type: ignore[no-untyped-call]
_FINISH_REASONS = {reason.value: name for name, reason in protos.Candidate.FinishReason.__members__.items()}

_Received = TypeVar("_Received")


@dataclass(frozen=True, slots=True)
class Chunk:
    """One message of the stream. `finish` and `blocked` are the vendor's names; token counts are the totals so far."""

    text: str
    finish: str | None
    blocked: str | None
    input_tokens: int | None
    output_tokens: int | None


class _Line:
    """One HTTP/2 connection and the clients on it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.calls = 0
        # A channel of ours instead of the SDK's `configure`, which is one key for the whole process and sends it
        # through a credentials plugin with a thread hop for each call. The key travels in the metadata.
        self.content = services.GenerativeServiceAsyncClient(
            transport=services.GenerativeServiceAsyncClient.get_transport_class("grpc_asyncio")(
                channel=channel, client_info=_CLIENT_INFO
            )
        )
        self.models = services.ModelServiceAsyncClient(
            transport=services.ModelServiceAsyncClient.get_transport_class("grpc_asyncio")(
                channel=channel, client_info=_CLIENT_INFO
            )
        )


class Wire:
    """Calls to one endpoint with one key. Belongs to the event loop that makes its first call.

    The SDK's retries are off: it would try again for a minute while a person waits, and hide why.
    """

    def __init__(self, *, api_key: str, timeout: float, endpoint: str, root_certificates: bytes | None) -> None:
        """`timeout`: seconds until the vendor says the next thing. `root_certificates`: PEM, None = the system's."""
        self._key = api_key
        self._timeout = timeout
        self._endpoint = endpoint
        self._credentials = grpc.ssl_channel_credentials(root_certificates)
        # timeout=None: the SDK's default ends a call after 60 s however well it streams.
        self._call_options: dict[str, Any] = {
            "retry": None,
            "timeout": None,
            "metadata": (("x-goog-api-key", api_key),),
        }
        self._lines: list[_Line] = []
        self._closed = False

    async def stream_content(self, request: ChatRequest, *, model: str, setting: str) -> AsyncGenerator[Chunk, None]:
        """GenerativeService.StreamGenerateContent; closing the generator cancels it. Raises `ProviderError`."""
        asked = Asked("StreamGenerateContent", model, setting)
        message = protos.GenerateContentRequest(
            model=_resource(model),
            system_instruction=protos.Content(parts=[protos.Part(text=_clean(request.system))])
            if request.system
            else None,
            contents=[
                protos.Content(
                    role="user" if turn.role == "user" else "model", parts=[protos.Part(text=_clean(turn.text))]
                )
                for turn in request.messages
            ],
            generation_config=protos.GenerationConfig(temperature=request.temperature),
        )
        with self._line() as line:
            call: Any = await self._next(line.content.stream_generate_content(message, **self._call_options), asked)
            try:
                while True:
                    received = await self._next(call.read(), asked)
                    if received is EOF:
                        return
                    yield _chunk(received)
            finally:
                call.cancel()

    async def embed(
        self, texts: Sequence[str], *, model: str, task: str, dimensions: int, setting: str
    ) -> list[npt.NDArray[np.float32]]:
        """GenerativeService.BatchEmbedContents -> one array per text, as the vendor gives it. Raises `ProviderError`.

        `task` is a name of the vendor's TaskType.
        """
        name = _resource(model)
        message = protos.BatchEmbedContentsRequest(
            model=name,
            requests=[
                protos.EmbedContentRequest(
                    model=name,
                    content=protos.Content(parts=[protos.Part(text=_clean(text))]),
                    task_type=task,
                    output_dimensionality=dimensions,
                )
                for text in texts
            ],
        )
        with self._line() as line:
            call = line.content.batch_embed_contents(message, **self._call_options)
            received = await self._next(call, Asked("BatchEmbedContents", model, setting))
        # .pb(): through the SDK's wrappers each of a batch's 76,800 numbers would cost a Python call.
        embeddings = protos.BatchEmbedContentsResponse.pb(received).embeddings
        return [np.array(embedding.values, dtype=np.float32) for embedding in embeddings]

    async def count_tokens(self, text: str, *, model: str, setting: str) -> int:
        """GenerativeService.CountTokens. Raises `ProviderError`."""
        contents = [protos.Content(role="user", parts=[protos.Part(text=_clean(text))])]
        message = protos.CountTokensRequest(model=_resource(model), contents=contents)
        with self._line() as line:
            call = line.content.count_tokens(message, **self._call_options)
            received = await self._next(call, Asked("CountTokens", model, setting))
        return int(received.total_tokens)

    async def methods_of(self, model: str, *, setting: str) -> frozenset[str]:
        """ModelService.GetModel -> what the model can do, in the vendor's words. Raises `ProviderError`."""
        with self._line() as line:
            call = line.models.get_model(protos.GetModelRequest(name=_resource(model)), **self._call_options)
            received = await self._next(call, Asked("GetModel", model, setting))
        return frozenset(received.supported_generation_methods)

    async def aclose(self) -> None:
        """Cancel what runs and close the channels. Safe to call twice."""
        self._closed = True
        for line in self._lines:
            await line.channel.close(None)

    @contextmanager
    def _line(self) -> Iterator[_Line]:
        """A connection with room for one more call, opened when all are full."""
        if self._closed:
            raise closing()
        line = next((line for line in self._lines if line.calls < _CALLS_PER_LINE), None)
        if line is None:
            line = _Line(grpc.aio.secure_channel(self._endpoint, self._credentials, options=_CHANNEL_OPTIONS))
            self._lines.append(line)
        line.calls += 1
        try:
            yield line
        finally:
            line.calls -= 1

    async def _next(self, receiving: Awaitable[_Received], asked: Asked) -> _Received:
        """What the vendor says next. Raises `ProviderError` for whatever goes wrong, silence included."""
        try:
            async with asyncio.timeout(self._timeout):
                received = await receiving
        except TimeoutError as error:
            _log.warning("gemini_silent", method=asked.method, model=asked.model, seconds=self._timeout)
            raise failures.timed_out() from error
        except GoogleAPICallError as error:
            raise self._refused(error, asked) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                # Closing the channel cancels its calls, which must not look as if this task had been cancelled.
                raise closing() from None
            raise
        except Exception as error:
            # gRPC passes on what the SDK's decoder raises; whatever it is, the answer cannot be used.
            _log.warning("gemini_unreadable", method=asked.method, model=asked.model, exc_info=error)
            raise failures.unreadable() from error
        if received is None:
            # How gRPC hands on bytes that are not the message they should be; it logs why.
            _log.warning("gemini_unreadable", method=asked.method, model=asked.model)
            raise failures.unreadable()
        return received

    def _refused(self, error: GoogleAPICallError, asked: Asked) -> ProviderError:
        delay = next((detail.retry_delay for detail in error.details if isinstance(detail, RetryInfo)), None)
        refusal = Refusal(
            status=error.grpc_status_code.name if error.grpc_status_code else "UNKNOWN",
            detail=error.message or "",
            reason=error.reason,
            retry_after=None if delay is None else delay.seconds + delay.nanos / 1e9,
        )
        _log.warning(
            "gemini_refused",
            method=asked.method,
            model=asked.model,
            status=refusal.status,
            reason=refusal.reason,
            retry_after=refusal.retry_after,
            # Google's text for a suspended key has the key in it.
            detail=refusal.detail.replace(self._key, "[key]")[:500],
        )
        return refused(refusal, asked)


def _chunk(received: protos.GenerateContentResponse) -> Chunk:
    # .pb(): the SDK's wrapper makes new objects for every field that is read, at several times the cost a token.
    message = protos.GenerateContentResponse.pb(received)
    text, finish = "", None
    if message.candidates:
        candidate = message.candidates[0]
        text = "".join(part.text for part in candidate.content.parts)
        if candidate.finish_reason:
            finish = _FINISH_REASONS.get(candidate.finish_reason, f"UNKNOWN_{candidate.finish_reason}")
    blocked = None
    if message.prompt_feedback.block_reason:
        blocked = f"BLOCK_REASON_{message.prompt_feedback.block_reason}"
    if not message.HasField("usage_metadata"):
        return Chunk(text, finish, blocked, None, None)
    usage = message.usage_metadata
    # Thinking is billed as output but is in the total alone; the SDK is older than the field that names it.
    output = max(usage.candidates_token_count, usage.total_token_count - usage.prompt_token_count)
    return Chunk(text, finish, blocked, usage.prompt_token_count, output)


def _resource(model: str) -> str:
    """The vendor's resource name: `models/…` unless a collection is named already (`tunedModels/…`)."""
    return model if "/" in model else f"models/{model}"


def _clean(text: str) -> str:
    """Without lone surrogates, which protobuf refuses."""
    return text.encode("utf-8", "replace").decode("utf-8")
