"""The front door and the self-hosted pages: what `web/build` made, with headers that keep each to this host."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from core.settings import Settings

DIST: Final = Path(__file__).resolve().parents[2] / "web" / "dist" / "graphiql"
"""Where `web/build` puts the page: `index.html` and `assets/`."""

ACCOUNT_DIST: Final = DIST.with_name("account")
"""The same of the page that links in mails lead to."""

NOT_BUILT: Final = "The GraphiQL page has not been built: run `make web` and reload. The API itself is at /graphql.\n"

ACCOUNT_NOT_BUILT: Final = "The account page has not been built: run `make web` and reload.\n"

FRONT: Final = "This is Colloquy, a GraphQL API. It is at /graphql.\n"

# What the build emits; anything else in the folder is not ours to serve.
CONTENT_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".woff2": "font/woff2",
}
# No separators and no leading dot, so a name cannot leave the assets folder.
ASSET_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
HOST: Final = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")


def content_security_policy(host: str) -> str:
    """The page's policy. `host` is the request's Host header; it is used only where it is a plain host name.

    Monaco writes its layout into style attributes and style elements, hence 'unsafe-inline' for styles alone;
    GraphiQL's style sheet carries its fonts, and Monaco's a few images, as data: URLs.
    """
    # 'self' covers ws: and wss: in current browsers; Safari before 15.4 wants them spelled out.
    sockets = f" ws://{host} wss://{host}" if HOST.fullmatch(host) else ""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "worker-src 'self'",
            "style-src 'self' 'unsafe-inline'",
            "font-src 'self' data:",
            "img-src 'self' data:",
            f"connect-src 'self'{sockets}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def account_policy(_host: str) -> str:
    """The account page's policy: its own script and style, and the API beside it. Nobody else comes in."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


@lru_cache(maxsize=8)
def _page(path: Path, modified_ns: int) -> tuple[bytes, str]:
    """The page and its ETag. `modified_ns` is part of the key, so that a new build is seen without a restart."""
    body = path.read_bytes()
    return body, f'"{sha256(body).hexdigest()[:32]}"'


def _load_page(dist: Path) -> tuple[bytes, str]:
    path = dist / "index.html"
    return _page(path, path.stat().st_mtime_ns)


def _matches(request: Request, etag: str) -> bool:
    given = request.headers.get("if-none-match", "")
    return given.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in given.split(","))


def _accepts_gzip(request: Request) -> bool:
    for coding in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, weight = coding.replace(" ", "").partition(";q=")
        if name == "gzip":
            return weight.strip("0.") != "" or weight == ""
    return False


def front_route(settings: Settings) -> BaseRoute:
    """`GET /`, for whoever opens the API's address in a browser: on to GraphiQL, or, without it, where the API is."""

    async def front(_request: Request) -> Response:
        if settings.graphiql_enabled:
            return RedirectResponse("/graphiql", 307)
        return PlainTextResponse(FRONT)

    return Route("/", front, methods=["GET"], name="front")


def graphiql_routes(settings: Settings, dist: Path = DIST) -> list[BaseRoute]:
    """`GET /graphiql` and `GET /graphiql/assets/{name}`; nothing where GraphiQL is switched off.

    `dist` is read at each request: where it is missing the page answers 503 and says how to build it.
    """
    if not settings.graphiql_enabled:
        return []
    return _page_routes("graphiql", dist, content_security_policy, NOT_BUILT)


def account_routes(dist: Path = ACCOUNT_DIST) -> list[BaseRoute]:
    """`GET /account` and its assets, for the links in mails; in production, too. Not built, it is a 503."""
    return _page_routes("account", dist, account_policy, ACCOUNT_NOT_BUILT)


def _page_routes(name: str, dist: Path, policy: Callable[[str], str], missing: str) -> list[BaseRoute]:
    async def page(request: Request) -> Response:
        headers = {"Content-Security-Policy": policy(request.headers.get("host", ""))}
        try:
            body, etag = await to_thread.run_sync(_load_page, dist)
        except (FileNotFoundError, NotADirectoryError):
            return PlainTextResponse(missing, 503, headers | {"Retry-After": "10"})
        # no-cache: kept, but asked about each time, so that a new build is seen at the next reload.
        headers |= {"Cache-Control": "no-cache", "ETag": etag}
        if _matches(request, etag):
            return Response(status_code=304, headers=headers)
        return Response(body, media_type="text/html", headers=headers)

    async def asset(request: Request) -> Response:
        asset_name: str = request.path_params["name"]
        path = dist / "assets" / asset_name
        content_type = CONTENT_TYPES.get(path.suffix)
        if (
            content_type is None
            or ASSET_NAME.fullmatch(asset_name) is None
            or not await to_thread.run_sync(path.is_file)
        ):
            return PlainTextResponse("There is no such asset.\n", 404)
        # The name carries a hash of the content, so the name says which content it is, for ever.
        headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
        packed = path.with_name(f"{asset_name}.gz")
        if _accepts_gzip(request) and await to_thread.run_sync(packed.is_file):
            path = packed
            headers |= {"Content-Encoding": "gzip"}
        headers |= {"ETag": f'"{path.name}"'}
        if _matches(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return FileResponse(path, media_type=content_type, headers=headers)

    return [
        Route(f"/{name}", page, methods=["GET"], name=name),
        Route(f"/{name}/assets/{{name}}", asset, methods=["GET"], name=f"{name}-asset"),
    ]
