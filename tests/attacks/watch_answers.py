"""A viewer in a process of its own: `python watch_answers.py URL TOKEN` asks and watches, answer after answer.

For each piece of text it prints when that came, in seconds of the machine's monotonic clock; for the end of an answer,
`end`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import aiohttp

QUESTION = "What is this document about?"
START = """mutation { startConversation(input: {}) {
  ... on StartConversationPayload { conversation { id } } ... on UserError { code } } }"""
SEND = """mutation($input: SendMessageInput!) { sendMessage(input: $input) {
  ... on SendMessagePayload { answer { id } } ... on UserError { code } } }"""
ANSWER = "subscription($id: ID!) { answer(id: $id) { __typename ... on AnswerDelta { text } } }"


async def _ask(http: aiohttp.ClientSession, url: str) -> str:
    """The id of the answer to come."""

    async def mutate(query: str, **variables: Any) -> Any:
        async with http.post(f"{url}/graphql", json={"query": query, "variables": variables}) as response:
            (result,) = (await response.json(content_type=None))["data"].values()
            return result

    conversation = (await mutate(START))["conversation"]["id"]
    sent = await mutate(SEND, input={"conversationId": conversation, "text": QUESTION})
    return sent["answer"]["id"]  # type: ignore[no-any-return]


async def _watch(url: str, token: str) -> None:
    authorization = f"Bearer {token}"
    async with (
        aiohttp.ClientSession(headers={"Authorization": authorization}) as http,
        http.ws_connect(f"{url}/graphql", protocols=("graphql-transport-ws",)) as socket,
    ):
        await socket.send_json({"type": "connection_init", "payload": {"authorization": authorization}})
        await socket.receive_json()
        while True:
            payload = {"query": ANSWER, "variables": {"id": await _ask(http, url)}}
            await socket.send_json({"id": "1", "type": "subscribe", "payload": payload})
            while (frame := json.loads((await socket.receive()).data))["type"] == "next":
                if frame["payload"]["data"]["answer"]["__typename"] == "AnswerDelta":
                    print(time.monotonic(), flush=True)  # noqa: T201 - this is what it is for
            assert frame["type"] == "complete", frame
            print("end", flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(_watch(*sys.argv[1:]))
