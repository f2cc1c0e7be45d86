"""How a subscription offers the short way: what its resolver returns is a `RenderableSource`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Any

from resolvers.following.outlet import Outlet
from schema.rendering.renderers import Renderer


class RenderableSource(ABC, AsyncIterator[Any]):
    """An ordinary async iterator of events, for any transport, which can also send some of them elsewhere."""

    @abstractmethod
    def send_through(self, outlet: Outlet, renderer: Renderer) -> None:
        """Before the first event: give the outlet whatever the renderer can make of events, in order with the rest."""

    @abstractmethod
    async def aclose(self) -> None:
        """Stop."""
