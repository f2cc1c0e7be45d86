"""A local stand-in for Google's side of the wire: google.ai.generativelanguage v1beta over gRPC and TLS.

It serves what a test scripts, and records what it was asked. Clients connect through a relay, so that a test can cut
the TCP connection as a network does.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from tls_relay import Relay, make_certificate

# Through our module, which silences what the SDK says when it is imported.
from providers.gemini.wire import protos

_PACKAGE = "google.ai.generativelanguage.v1beta"


@dataclass(frozen=True)
class Say:
    """One message of a stream: text, and what else the vendor puts beside it."""

    text: str = ""
    finish: str | None = None
    blocked: str | None = None
    usage: tuple[int, int, int] | None = None
    """Prompt, candidates, total."""
    without_candidate: bool = False


@dataclass(frozen=True)
class Raw:
    """Bytes in the place of a message."""

    data: bytes


@dataclass(frozen=True)
class Fail:
    """A gRPC status, with google.rpc details as the vendor sends them."""

    code: grpc.StatusCode
    message: str = "internal text of the vendor"
    retry_after: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Until:
    """Say nothing until the event; a fresh event is a hang."""

    event: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class Cut:
    """The TCP connections break."""


@dataclass(frozen=True)
class Pause:
    """Seconds of silence, where time itself is what a test is about."""

    seconds: float


Step = Say | Raw | Fail | Until | Cut | Pause


@dataclass(frozen=True)
class Asked:
    """One request as received."""

    method: str
    message: Any
    metadata: dict[str, str]
    peer: str
    deadline: float | None
    """Seconds that the client gave the whole call."""


class GeminiServer:
    """Answers `script` to each stream; embeds any text to a vector of its own; knows `models`."""

    def __init__(self, certificate: bytes, key: bytes) -> None:
        self.root_certificates = certificate
        self._key = key
        self.endpoint = ""
        self.script: list[Step] = [Say("Yes."), Say("", finish="STOP", usage=(7, 2, 9))]
        self.embedding_script: list[Step] = []
        self.model_script: list[Step] = []
        self.count_script: list[Step] = []
        self.models: dict[str, tuple[str, ...]] = {
            "models/gemini-2.5-flash": ("generateContent", "countTokens"),
            "models/gemini-embedding-001": ("embedContent",),
        }
        self.asked: list[Asked] = []
        self.arrived = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.vectors: Callable[[str, int], list[float]] = vector_of
        self._relay = Relay()

    async def start(self) -> None:
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    f"{_PACKAGE}.GenerativeService",
                    {
                        "StreamGenerateContent": grpc.unary_stream_rpc_method_handler(
                            self._stream_generate_content, protos.GenerateContentRequest.deserialize, _as_bytes
                        ),
                        "CountTokens": grpc.unary_unary_rpc_method_handler(
                            self._count_tokens, protos.CountTokensRequest.deserialize, _as_bytes
                        ),
                        "BatchEmbedContents": grpc.unary_unary_rpc_method_handler(
                            self._batch_embed_contents, protos.BatchEmbedContentsRequest.deserialize, _as_bytes
                        ),
                    },
                ),
                grpc.method_handlers_generic_handler(
                    f"{_PACKAGE}.ModelService",
                    {
                        "GetModel": grpc.unary_unary_rpc_method_handler(
                            self._get_model, protos.GetModelRequest.deserialize, _as_bytes
                        )
                    },
                ),
            )
        )
        credentials = grpc.ssl_server_credentials([(self._key, self.root_certificates)])
        port = self._server.add_secure_port("127.0.0.1:0", credentials)
        await self._server.start()
        await self._relay.listen(port)
        self.endpoint = f"localhost:{self._relay.port}"

    async def stop(self) -> None:
        # The listener first: a client that is cut off must not come back in.
        await self._relay.close()
        await self._server.stop(None)

    async def go_away(self) -> None:
        """Nobody listens at the endpoint until `come_back`."""
        await self._relay.close()

    async def come_back(self) -> None:
        await self._relay.listen_again()

    async def _stream_generate_content(self, message: Any, context: Any) -> AsyncIterator[object]:
        self._record("StreamGenerateContent", message, context)
        for step in list(self.script):
            said = await self._play(step, context)
            if said is not None:
                yield said

    async def _batch_embed_contents(self, message: Any, context: Any) -> object:
        self._record("BatchEmbedContents", message, context)
        for step in self.embedding_script:
            said = await self._play(step, context)
            if said is not None:
                return said
        return protos.BatchEmbedContentsResponse(
            embeddings=[
                protos.ContentEmbedding(values=self.vectors(one.content.parts[0].text, one.output_dimensionality))
                for one in message.requests
            ]
        )

    async def _count_tokens(self, message: Any, context: Any) -> object:
        """One for each word."""
        self._record("CountTokens", message, context)
        for step in self.count_script:
            await self._play(step, context)
        words = sum(len(part.text.split()) for content in message.contents for part in content.parts)
        return protos.CountTokensResponse(total_tokens=words)

    async def _get_model(self, message: Any, context: Any) -> object:
        self._record("GetModel", message, context)
        for step in self.model_script:
            await self._play(step, context)
        if message.name not in self.models:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"{message.name} is not found for API version v1beta")
        return protos.Model(name=message.name, supported_generation_methods=self.models[message.name])

    def _record(self, method: str, message: Any, context: Any) -> None:
        metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        self.asked.append(Asked(method, message, metadata, context.peer(), context.time_remaining()))
        self.arrived.set()

    async def _play(self, step: Step, context: Any) -> object | None:
        try:
            match step:
                case Say():
                    return _response(step)
                case Raw(data):
                    return data
                case Until(event):
                    await event.wait()
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                case Cut():
                    await self._relay.cut()
                    await asyncio.Event().wait()
                case Fail():
                    await _abort(context, step)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return None


def vector_of(text: str, dimensions: int) -> list[float]:
    """A text's own direction, and a length that is not 1, as the vendor's shortened vectors have."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    values: npt.NDArray[np.float64] = np.random.default_rng(seed).normal(size=dimensions)
    return [float(value) for value in values]


def _response(step: Say) -> object:
    message = protos.GenerateContentResponse()
    if not step.without_candidate and step.blocked is None:
        candidate = protos.Candidate(content=protos.Content(role="model", parts=[protos.Part(text=step.text)]))
        if step.finish is not None:
            candidate.finish_reason = protos.Candidate.FinishReason[step.finish]
        message.candidates = [candidate]
    if step.blocked is not None:
        message.prompt_feedback.block_reason = step.blocked
    if step.usage is not None:
        prompt, candidates, total = step.usage
        message.usage_metadata = protos.GenerateContentResponse.UsageMetadata(
            prompt_token_count=prompt, candidates_token_count=candidates, total_token_count=total
        )
    return message


def _as_bytes(message: Any) -> bytes:
    return message if isinstance(message, bytes) else type(message).serialize(message)


async def _abort(context: Any, step: Fail) -> None:
    status = status_pb2.Status(code=step.code.value[0], message=step.message)
    if step.reason is not None:
        status.details.append(_any(error_details_pb2.ErrorInfo(reason=step.reason, domain="googleapis.com")))
    if step.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(step.retry_after * 1e9))
        status.details.append(_any(error_details_pb2.RetryInfo(retry_delay=delay)))
    trailer = (("grpc-status-details-bin", status.SerializeToString()),) if status.details else ()
    await context.abort(step.code, step.message, trailer)


def _any(message: Any) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


@asynccontextmanager
async def gemini_server() -> AsyncIterator[GeminiServer]:
    """A running server; it ends with the block."""
    server = GeminiServer(*make_certificate())
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def in_time(awaitable: Awaitable[Any]) -> Any:
    """Fail within ten seconds instead of waiting for ever."""
    async with asyncio.timeout(10):
        return await awaitable
