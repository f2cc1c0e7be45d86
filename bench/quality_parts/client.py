"""Somebody who uploads documents and asks, through the product's API alone."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import aiohttp

SIGN_UP = """mutation($input: SignUpInput!) { signUp(input: $input) {
  ... on SignUpPayload { session { accessToken } } ... on UserError { code message } } }"""
UPLOAD = """mutation($input: UploadDocumentInput!) { uploadDocument(input: $input) {
  ... on UploadDocumentPayload { document { id } } ... on UserError { code message } } }"""
PROGRESS = "subscription($id: ID!) { documentProgress(id: $id) { status failure { code message } } }"
PASSAGES = """query($query: String!) { viewer { passages(query: $query, first: 10) {
  document { name } chunk { text } } } }"""
START = """mutation($input: StartConversationInput!) { startConversation(input: $input) {
  ... on StartConversationPayload { conversation { id } } ... on UserError { code message } } }"""
SEND = """mutation($input: SendMessageInput!) { sendMessage(input: $input) {
  ... on SendMessagePayload { answer { id } } ... on UserError { code message } } }"""
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


class Client:
    """The first person of a new organisation. What the API refuses raises AssertionError with its words."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http, self._url, self._token = http, url, ""

    async def sign_up(self) -> None:
        values = {"organization": "Bench", "name": "B", "email": "b@example.test", "password": "not so easily guessed"}
        self._token = (await self._mutate(SIGN_UP, values))["session"]["accessToken"]

    async def upload(self, name: str, content: bytes) -> None:
        """Keep a document, and wait until it is searchable."""
        form = aiohttp.FormData()
        operations = {"query": UPLOAD, "variables": {"input": {"file": None, "name": name}}}
        form.add_field("operations", json.dumps(operations))
        form.add_field("map", json.dumps({"0": ["variables.input.file"]}))
        form.add_field("0", content, filename=name, content_type="application/octet-stream")
        headers = self._headers | {"x-colloquy-preflight": "1"}
        async with self._http.post(f"{self._url}/graphql", data=form, headers=headers) as response:
            kept = _result(await response.json())
        last = await self._last(PROGRESS, kept["document"]["id"])
        if last["status"] != "READY":
            raise AssertionError(last)

    async def passages(self, question: str) -> list[tuple[str, str]]:
        """What would be read for it, best first: the document's name and the passage's text, up to ten."""
        body = await self._post({"query": PASSAGES, "variables": {"query": question}})
        found = body["data"]["viewer"]["passages"]
        return [(one["document"]["name"], one["chunk"]["text"]) for one in found]

    async def answer(self, *questions: str) -> Answer:
        """The last question's answer, after the others in one conversation."""
        conversation = (await self._mutate(START, {}))["conversation"]["id"]
        for question in questions:
            sent = await self._mutate(SEND, {"conversationId": conversation, "text": question})
            last = await self._last(ANSWER, sent["answer"]["id"])
        if last["__typename"] != "AnswerCompleted":
            raise AssertionError(last)
        return Answer(last["answer"]["message"]["text"], [_quote(one) for one in last["answer"]["citations"]])

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    async def _mutate(self, query: str, values: dict[str, Any]) -> dict[str, Any]:
        return _result(await self._post({"query": query, "variables": {"input": values}}))

    async def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        while True:
            async with self._http.post(f"{self._url}/graphql", json=body, headers=self._headers) as response:
                answer: dict[str, Any] = await response.json()
            if not answer.get("errors"):
                return answer
            extensions = answer["errors"][0]["extensions"]
            if "retryAfterMs" not in extensions:
                raise AssertionError(answer["errors"])
            await asyncio.sleep(extensions["retryAfterMs"] / 1_000)

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


def _result(body: dict[str, Any]) -> dict[str, Any]:
    if body.get("errors"):
        raise AssertionError(body["errors"])
    ((_, result),) = body["data"].items()
    if "code" in result:
        raise AssertionError(result)
    return result  # type: ignore[no-any-return]


def _quote(citation: dict[str, Any]) -> Quote:
    chunk = citation["chunk"]
    page = chunk["document"]["page"]["text"]
    return Quote(citation["documentName"], citation["quote"], chunk["text"], page[chunk["start"] : chunk["end"]])
