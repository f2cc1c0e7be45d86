"""Somebody who uploads documents and asks, through the product's API alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import aiohttp
from chats_parts.clients import SEND, Person

UPLOAD = """mutation($input: UploadDocumentInput!) { uploadDocument(input: $input) {
  ... on UploadDocumentPayload { document { id } } ... on UserError { code message } } }"""
PROGRESS = "subscription($id: ID!) { documentProgress(id: $id) { status failure { code message } } }"
PASSAGES = """query($query: String!) { viewer { passages(query: $query, first: 10) {
  document { name } chunk { text } } } }"""
ANSWER = """subscription($id: ID!) { answer(id: $id) { __typename ... on AnswerFailed { failure { code message } }
  ... on AnswerCompleted { answer { message { text } citations { quote documentName
    chunk { text start end page document { page(number: 1) { text } } } } } } } }"""


@dataclass(frozen=True, slots=True)
class Quote:
    """What an answer quotes, and where the product says that it stands."""

    document: str
    text: str
    chunk: str
    page_at_span: str

    @property
    def exact(self) -> bool:
        """Whether the chunk has it to the letter, and the page has the chunk."""
        return self.text in self.chunk and self.page_at_span == self.chunk


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    quotes: list[Quote]


class Client(Person):
    """The first person of a new organisation. What the API refuses raises AssertionError with its words."""

    async def upload(self, name: str, content: bytes) -> None:
        """Keep a document, and wait until it is searchable."""
        await self.until_ready(await self.keep(name, content))

    async def keep(self, name: str, content: bytes) -> str:
        """Have a document read; its id."""
        form = aiohttp.FormData()
        operations = {"query": UPLOAD, "variables": {"input": {"file": None, "name": name}}}
        form.add_field("operations", json.dumps(operations))
        form.add_field("map", json.dumps({"0": ["variables.input.file"]}))
        form.add_field("0", content, filename=name, content_type="application/octet-stream")
        headers = self.headers | {"x-colloquy-preflight": "1"}
        async with self._http.post(f"{self._url}/graphql", data=form, headers=headers) as response:
            kept = (await response.json())["data"]["uploadDocument"]
        if "code" in kept:
            raise AssertionError(kept)
        return kept["document"]["id"]  # type: ignore[no-any-return]

    async def until_ready(self, document: str) -> None:
        """Wait until the document is searchable."""
        last = await self._last(PROGRESS, document)
        if last["status"] != "READY":
            raise AssertionError(last)

    async def passages(self, question: str) -> list[tuple[str, str]]:
        """What would be read for it, best first: the document's name and the passage's text, up to ten."""
        found = (await self.data(PASSAGES, query=question))["viewer"]["passages"]
        return [(one["document"]["name"], one["chunk"]["text"]) for one in found]

    async def answer(self, *questions: str) -> Answer:
        """The last question's answer, after the others in one conversation."""
        conversation = await self.conversation()
        for question in questions:
            sent = await self.query(SEND, {"conversationId": conversation, "text": question})
            last = await self._last(ANSWER, sent["answer"]["id"])
        if last["__typename"] != "AnswerCompleted":
            raise AssertionError(last)
        return Answer(last["answer"]["message"]["text"], [_quote(one) for one in last["answer"]["citations"]])

    async def _last(self, subscription: str, id_: str) -> dict[str, Any]:
        """The last event of a subscription."""
        last: dict[str, Any] = {}
        async with self._http.ws_connect(f"{self._url}/graphql", protocols=("graphql-transport-ws",)) as socket:
            payload: dict[str, Any] = {"authorization": f"Bearer {self._token}"}
            await socket.send_json({"type": "connection_init", "payload": payload})
            await socket.receive()
            payload = {"query": subscription, "variables": {"id": id_}}
            await socket.send_json({"id": "1", "type": "subscribe", "payload": payload})
            async for message in socket:
                frame = json.loads(message.data)
                if frame["type"] == "complete":
                    return last
                if frame["type"] == "error":
                    raise AssertionError(frame["payload"])
                ((_, last),) = frame["payload"]["data"].items()
        raise AssertionError(f"the socket closed with {socket.close_code}")


def _quote(citation: dict[str, Any]) -> Quote:
    chunk = citation["chunk"]
    page = chunk["document"]["page"]["text"]
    return Quote(citation["documentName"], citation["quote"], chunk["text"], page[chunk["start"] : chunk["end"]])
