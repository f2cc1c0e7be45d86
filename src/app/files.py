"""`/files/{signed}`: originals, by links that expire."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from core.ids import TenantId
from core.security import InvalidTokenError
from datastores.outages import is_overload
from resolvers.documents import open_link
from resolvers.services import Services

# A stranger's file must never run as a page of ours; it is an attachment, too.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cache-Control": "private, no-store",
}


async def original(request: Request) -> Response:
    """The file that a signed link opens: 404 when it is gone and for a link that we have not made, 403 for one that
    has been good, 503 when we are busy."""
    services: Services = request.app.state.services
    try:
        record = await open_link(services, request.path_params["signed"])
    except InvalidTokenError as error:
        return PlainTextResponse(str(error), 403, headers=_HEADERS)
    except Exception as error:
        if not is_overload(error):
            raise
        return PlainTextResponse("Try again shortly.", 503, headers={**_HEADERS, "Retry-After": "1"})
    if record is None:
        return PlainTextResponse("There is no such file, or it is no longer there.", 404, headers=_HEADERS)
    return FileResponse(
        services.files.path(TenantId(record.tenant_id), record.id),
        media_type=record.content_type,
        filename=record.name,
        headers=_HEADERS,
    )
