"""The ASGI application of an API process."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.client_address import ClientAddress
from app.cookies import HEADER
from app.ending import told_at_signals
from app.files import original
from app.graphql import COST_HEADER, ColloquyGraphQL
from app.headers import BrowserHeaders
from app.health import healthz, readyz
from app.request_protocol import DRAINING
from app.services import api_services
from app.uploads import PREFLIGHT_HEADERS
from app.web import account_routes, front_route, graphiql_routes
from core.errors import ProviderError
from core.logging import configure_logging
from core.settings import Settings, settings_from_environment
from core.tasks import end_tasks
from providers.registry import Providers


def create_app(settings: Settings | None = None, *, alone: bool = False) -> Starlette:
    """The application; its pools and tasks live from start-up to shutdown. Raises `ConfigurationError` at start-up.

    `alone`: the process does nothing else.
    """
    settings = settings or settings_from_environment()
    configure_logging(production=settings.environment == "production")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, object], None]:
        async with AsyncExitStack() as stack:
            # A process of its own; in another one the signals are not ours.
            signals = stack.enter_context(told_at_signals()) if alone else None
            services = app.state.services = await stack.enter_async_context(api_services(settings))
            graphql = app.state.graphql = ColloquyGraphQL(services)
            if alone:
                # What is there now stays: modules, the schema. A full collection would look at all of it, and hold up
                # every stream for as long, some hundred milliseconds.
                gc.collect()
                gc.freeze()
            warming = asyncio.create_task(_warm(services.providers))
            stack.push_async_callback(end_tasks, [warming])
            if signals is not None:
                signals.begin_end_by(services.supervisor.drain)
            yield {DRAINING: graphql.draining}

    app = _Application(
        routes=[
            Route("/graphql", _Endpoint()),  # which says itself what it has against a method
            WebSocketRoute("/graphql", _Endpoint()),
            Route("/files/{signed}", original, methods=["GET"]),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/readyz", readyz, methods=["GET"]),
            front_route(settings),
            *graphiql_routes(settings),
            *account_routes(),
        ],
        middleware=_cors(settings),
        lifespan=lifespan,
    )
    app.state.settings = settings
    return app


class _Application(Starlette):
    """Starlette's own answer to a fault of ours lies outside of its middleware; the headers belong on that, too."""

    def build_middleware_stack(self) -> ASGIApp:
        return BrowserHeaders(ClientAddress(super().build_middleware_stack()), self.state.settings)


class _Endpoint:
    """The GraphQL view, which exists only once the pools do."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["app"].state.graphql(scope, receive, send)


async def _warm(providers: Providers) -> None:
    """Load the local model before the first question needs it; a provider that is not set up is told when asked."""
    with suppress(ProviderError):
        await providers.embeddings().embed_query("warm")


def _cors(settings: Settings) -> list[Middleware]:
    if not settings.cors_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "last-event-id", COST_HEADER, HEADER, *PREFLIGHT_HEADERS],
            # A page reads only what it is shown.
            expose_headers=["retry-after"],
            allow_credentials=True,
            max_age=600,
        )
    ]
