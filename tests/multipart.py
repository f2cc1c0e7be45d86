"""Uploads byte by byte, as browsers send them, and as nobody should."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any

from product import UPLOAD, Person, Product

BOUNDARY = "----boundary7MA4YWxk"
FILE_MAP = {"0": ["variables.input.file"]}


@dataclass
class Part:
    """One part of a form; with a `filename` it is a file."""

    name: str
    content: bytes
    filename: str | None = None

    def encoded(self) -> bytes:
        # As the HTML standard has it: UTF-8, and only quotes and line breaks are escaped.
        shown = "" if self.filename is None else self.filename.replace('"', "%22").replace("\r", "%0D")
        filename = "" if self.filename is None else '; filename="' + shown.replace("\n", "%0A") + '"'
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{self.name}"{filename}\r\n'
        kind = "" if self.filename is None else "Content-Type: application/octet-stream\r\n"
        return f"{head}{kind}\r\n".encode("utf-8", "surrogateescape") + self.content + b"\r\n"


def form(*parts: Part) -> bytes:
    """The body of these parts."""
    return b"".join(part.encoded() for part in parts) + f"--{BOUNDARY}--\r\n".encode()


def operations(**fields: Any) -> Part:
    """The part that carries the operation; the file's place in it is null."""
    content = {"query": UPLOAD, "variables": {"input": {"file": None, **fields}}}
    return Part("operations", json.dumps(content).encode())


def file_map(content: Any = FILE_MAP) -> Part:
    """The part that says where the files belong."""
    return Part("map", json.dumps(content).encode())


@dataclass
class Reply:
    """What came back."""

    status: int
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def error(self) -> tuple[int, str, str]:
        """Status, code and message of the one error; with it comes a request id, and no data."""
        (error,) = self.body["errors"]
        assert len(error["extensions"]["requestId"]) == 32
        assert not (self.body.get("data") or {}).get("uploadDocument")
        return self.status, error["extensions"]["code"], error["message"]


async def send(product: Product, token: str | None, body: Any, **headers: str | None) -> Reply:
    """Post a form's body (bytes, or an async iterator for a body without a length); a header of None is left out."""
    given = {
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "x-colloquy-preflight": "1",
        "Authorization": f"Bearer {token}" if token else None,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    sent = {name: value for name, value in given.items() if value is not None}
    async with product.http.post(
        f"{product.url}/graphql", data=io.BytesIO(body) if isinstance(body, bytes) else body, headers=sent
    ) as response:
        return Reply(response.status, await response.json())


async def upload(person: Person, content: bytes, filename: str, **fields: Any) -> dict[str, Any]:
    """The result of `uploadDocument` for a file called `filename`; `fields` are further ones of the input."""
    body = form(operations(**fields), file_map(), Part("0", content, filename))
    reply = await send(person.product, person.token, body)
    assert "errors" not in reply.body, reply
    return reply.body["data"]["uploadDocument"]  # type: ignore[no-any-return]
