"""Asking an API process a question."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from api_process import ApiProcess
from product import SEND, START, Person

TEXT = (
    b"The cable car of Mount Ilse was opened in 1936 and renewed in 2011. "
    b"It carries sixty people in each cabin and takes eight minutes to the top.\n"
)
QUESTION = "When was the cable car of Mount Ilse opened?"
StartApi = Callable[..., Awaitable[ApiProcess]]


async def post(http: aiohttp.ClientSession, url: str, token: str, query: str, variables: dict[str, Any]) -> Any:
    """The one field of an operation that must succeed."""
    headers = {"authorization": f"Bearer {token}"}
    async with http.post(f"{url}/graphql", json={"query": query, "variables": variables}, headers=headers) as response:
        body = await response.json()
    assert "errors" not in body, body
    return next(iter(body["data"].values()))


async def ask(http: aiohttp.ClientSession, url: str, person: Person) -> str:
    """The id of the answer, which the process at this address begins to write."""
    started = await post(http, url, person.token, START, {"input": {}})
    question = {"conversationId": started["conversation"]["id"], "text": QUESTION}
    sent = await post(http, url, person.token, SEND, {"input": question})
    return str(sent["answer"]["id"])
