"""The events of one answer for one operation."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from uuid import UUID

from datastores.answer_events import LogEvent
from resolvers.context import Context
from resolvers.following.outlet import Encoder, Outlet
from resolvers.following.viewer import AnswerViewer
from schema.events import as_answer_event
from schema.rendering.renderers import ENTRIES, Renderer
from schema.rendering.source import RenderableSource


class AnswerSource(RenderableSource):
    """A viewer's events as GraphQL has them."""

    __slots__ = ("_answer_id", "_context", "_viewer")

    def __init__(self, answer_id: UUID, viewer: AnswerViewer, context: Context) -> None:
        self._answer_id, self._viewer, self._context = answer_id, viewer, context

    def send_through(self, outlet: Outlet, renderer: Renderer) -> None:
        """Have the viewer share its encodings with all whose selection has the same shape."""
        self._viewer.send_through(outlet, _encoder(renderer))

    async def __anext__(self) -> Any:
        event: Any = as_answer_event(self._answer_id, await self._viewer.__anext__())
        self._context.cursor = event.cursor
        return event

    async def aclose(self) -> None:
        """Stop following."""
        await self._viewer.aclose()


@lru_cache(maxsize=ENTRIES)
def _encoder(renderer: Renderer) -> Encoder:
    """The same one for the same renderer: by it viewers find together."""

    def encode(answer_id: UUID, event: LogEvent) -> bytes | None:
        return renderer(as_answer_event(answer_id, event))

    return encode
