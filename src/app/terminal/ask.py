"""`colloquy ask`: sign in, upload, ask, follow the answer to its end, show its sources."""

from __future__ import annotations

import asyncio
import os
import sys
import textwrap
import uuid
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from app.terminal.client import ColloquyClient
from app.terminal.credentials import LogIn, resolve_log_in, resolve_url
from app.terminal.display import STEP_WORDS, Display, count_words, display_for, size_words
from app.terminal.events import (
    Citation,
    Cited,
    Delta,
    Finished,
    Progress,
    Restarted,
    Step,
    StoredDocument,
    camel,
)
from app.terminal.failures import ClientFailure, Limited, Refused, UsageProblem
from app.terminal.follow import Patience, follow_answer, follow_document, persist
from app.terminal.interrupts import ctrl_c_first

DONE: Final = 0
FAILED: Final = 1
WRONG_USAGE: Final = 2
INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it."""
QUESTION_SHOWN: Final = 160  # characters


@dataclass(slots=True)
class _Ask:
    """One run of the command, as far as it has come."""

    client: ColloquyClient
    display: Display
    patience: Patience
    conversation_id: str | None = None
    message_id: str | None = None
    answer_id: str | None = None
    document: StoredDocument | None = None
    text: str = ""
    citations: list[Citation] = field(default_factory=list)
    restarts: int = 0
    reconnects: int = 0
    stopping: bool = False

    async def run(self, question: str, file: Path | None, log_in: LogIn) -> int:
        """The exit code. Raises ClientFailure, OSError for a file that cannot be read."""
        self.client.on_limited = self._limited
        try:
            name = await self.client.sign_in()
        except Refused as failure:
            if failure.code == "INVALID_CREDENTIALS":
                raise ClientFailure(
                    f"The server refused {log_in.source} ({log_in.email}). Check --email, --password and --url."
                ) from failure
            raise
        self.display.stage(f"Signed in as {name} ({log_in.email})")
        if file is not None:
            await self._bring(file)
        if self.conversation_id is None:
            self.conversation_id = await self.client.start_conversation()
        conversation_id, key = self.conversation_id, str(uuid.uuid4())
        sent = await persist(
            self.client,
            lambda: self.client.send_message(conversation_id, question, key),
            patience=self.patience,
            on_outage=self._outage,
        )
        self.message_id, self.answer_id = sent.message_id, sent.answer_id
        self.display.stage(f"Asked: {textwrap.shorten(question, QUESTION_SHOWN, placeholder=' …')}")
        if sent.answer_id is None:
            self.display.stage("A person answers in this conversation; the question has been delivered")
            self.display.document(self._result("DELIVERED", None))
            return DONE
        finished = await self._follow(sent.answer_id)
        return self._conclude(finished)

    async def _bring(self, file: Path) -> None:
        """Have the file among the documents and READY."""
        size = (await asyncio.to_thread(file.stat)).st_size
        self.display.busy(f"Uploading {file.name}", 0, size)
        try:
            document = await self.client.upload(
                file, lambda sent: self.display.busy(f"Uploading {file.name}", sent, size)
            )
        except Refused as failure:
            raise ClientFailure(f"{file.name} was not accepted: {failure}") from failure
        finally:
            self.display.idle()
        if document.was_there:
            self.display.stage(f"{file.name} is among the documents already, as {document.name}: not kept twice")
        else:
            self.display.stage(f"Uploaded {file.name} ({size_words(size)})")
        self.document = document
        async with aclosing(
            follow_document(self.client, document.id, patience=self.patience, on_outage=self._outage)
        ) as snapshots:
            async for snapshot in snapshots:
                self._show_progress(document, snapshot)

    def _show_progress(self, document: StoredDocument, now: Progress) -> None:
        match now.status:
            case "PARSING":
                self.display.busy(f"Reading {document.name}, pages", now.pages_done, now.pages_total)
            case "EMBEDDING":
                self.display.busy(f"Indexing {document.name}, chunks", now.chunks_done, now.chunks_total)
            case "READY":
                pages = "" if now.pages_total is None else f"{count_words(now.pages_total, 'page')}, "
                chunks = now.chunks_total if now.chunks_total is not None else now.chunks_done
                self.display.stage(f"{document.name} is ready: {pages}{count_words(chunks, 'chunk')}")
            case "FAILED" if now.failure is not None:
                again = " Upload it again." if now.failure.retryable else ""
                raise ClientFailure(
                    f"{document.name} could not be used: {now.failure.message.rstrip('.')} ({now.failure.code}).{again}"
                )
            case "FAILED" | "CANCELLED":
                raise ClientFailure(f"{document.name} is {now.status}: it was not indexed. Upload it again.")
            case _:
                self.display.busy(f"Waiting for {document.name}'s turn", 0, None)

    async def _follow(self, answer_id: str) -> Finished:
        """Print the answer as it arrives. Returns its last event, which Ctrl-C has come early."""
        async with ctrl_c_first(lambda: self._stop(answer_id)):
            return await self._print(answer_id)

    async def _stop(self, answer_id: str) -> None:
        self.stopping = True
        self.display.note("Stopping the answer. Ctrl-C again leaves.")
        try:
            await self.client.stop_answer(answer_id)
        except ClientFailure as failure:
            self.stopping = False
            self.display.note(f"The answer could not be stopped: {failure}")

    async def _print(self, answer_id: str) -> Finished:
        async with aclosing(
            follow_answer(self.client, answer_id, patience=self.patience, on_outage=self._outage)
        ) as events:
            async for event in events:
                match event:
                    case Step():
                        detail = f": {event.detail}" if event.detail else ""
                        self.display.stage(f"{STEP_WORDS.get(event.kind, event.kind.capitalize())}{detail}")
                    case Delta():
                        if not self.text:
                            self.display.answer_begins()
                        self.text += event.text
                        self.display.words(event.text)
                    case Cited():
                        self.citations.append(event.citation)
                    case Restarted():
                        self.restarts += 1
                        if self.text:
                            self.display.restarted(event.reason)
                        self.text = ""
                        self.citations.clear()
                    case Finished():
                        return event
        raise ClientFailure("The answer ended without its last event.")  # follow_answer raises before this

    def _conclude(self, finished: Finished) -> int:
        display = self.display
        display.idle()
        if finished.stored_text is not None and finished.stored_text != self.text:
            display.replaced(finished.stored_text)
            self.text = finished.stored_text
        display.sources(self.citations)
        if finished.status == "STOPPED":
            display.closing("The answer was stopped; this is what it had said so far.")
        if finished.status != "FAILED":
            display.closing(self._small_print(finished))
        display.document(self._result(finished.status, finished))
        if finished.status == "FAILED":
            failure = finished.failure
            code, message = (failure.code, failure.message) if failure else ("INTERNAL", "no reason was given")
            again = " Ask again in a moment." if failure is not None and failure.retryable else ""
            display.error(f"The answer failed: {message.rstrip('.')} ({code}).{again}")
            return FAILED
        return DONE

    def _small_print(self, finished: Finished) -> str:
        parts = [finished.model] if finished.model else []
        if finished.usage is not None:
            first, total = finished.usage.first_token_ms, finished.usage.total_ms / 1000
            parts.append(
                f"{total:.1f} s"
                if first is None
                else f"first word after {first / 1000:.1f} s, done after {total:.1f} s"
            )
            if finished.usage.cached:
                parts.append("from the cache")
        return " · ".join([*parts, f"go on with --conversation {self.conversation_id}"])

    def _result(self, status: str, finished: Finished | None) -> dict[str, Any]:
        """What --json prints. `text` equals the stored message; `status` is COMPLETED, STOPPED, FAILED or DELIVERED."""
        return {
            "status": status,
            "conversationId": self.conversation_id,
            "messageId": self.message_id,
            "answerId": self.answer_id,
            "text": self.text,
            "citations": [camel(one) for one in sorted(self.citations, key=lambda one: one.marker)],
            "document": None if self.document is None else {"id": self.document.id, "name": self.document.name},
            "model": None if finished is None else finished.model,
            "usage": None if finished is None or finished.usage is None else camel(finished.usage),
            "failure": None if finished is None or finished.failure is None else camel(finished.failure),
            "restarts": self.restarts,
            "reconnects": self.reconnects,
        }

    def left_behind(self) -> str:
        """What becomes of the answer when its reader goes."""
        if self.answer_id is None:
            return ""
        becomes = "stopped" if self.stopping else "finished without you"
        return f" The answer is being {becomes}: --conversation {self.conversation_id}."

    def _limited(self, limit: Limited) -> None:
        self.display.note(f"{limit.message} Waiting.")

    def _outage(self, what: str, failures: int, borne: int) -> None:
        self.reconnects += 1
        if failures > 1:  # a break that heals at the first try is nobody's concern
            self.display.note(f"{what.rstrip('.')}. Trying again ({failures} of {borne}).")


def ask(
    question: str,
    file: Path | None = None,
    url: str | None = None,
    email: str | None = None,
    password: str | None = None,
    conversation: str | None = None,
    as_json: bool = False,
    *,
    patience: Patience | None = None,
) -> int:
    """Ask one question and print its answer as it arrives. Blocks; must not be called from a running event loop.

    Returns the process's exit code: 0 for a completed or stopped answer, 1 for a failed one and for every error, 2 for
    wrong usage, 130 after Ctrl-C (while an answer arrives, after two: the first stops it). Errors are one line on
    stderr. `patience` bounds the tries after a broken connection.
    """
    display = display_for(as_json=as_json)
    run: _Ask | None = None
    try:
        if not question.strip():
            raise UsageProblem('The question is empty. Expected: colloquy ask "your question".')
        if any("\ud800" <= one <= "\udfff" for one in question):
            raise UsageProblem("The question is not valid text in this terminal's encoding. Expected UTF-8.")
        if file is not None and not file.is_file():
            raise UsageProblem(f"--file: there is no file {file}.")
        endpoint = resolve_url(url)
        log_in = resolve_log_in(endpoint, email, password)
        client = ColloquyClient(endpoint, log_in.email, log_in.password)
        run = _Ask(client, display, patience or Patience(), conversation_id=conversation)
        return asyncio.run(_with_client(run, question, file, log_in))
    except UsageProblem as problem:
        display.error(str(problem))
        return WRONG_USAGE
    except ClientFailure as failure:
        display.error(str(failure))
        return FAILED
    except KeyboardInterrupt:
        display.error(f"Interrupted.{run.left_behind() if run else ''}")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`). Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        display.error(f"{error.filename or 'Reading or writing failed'}: {error.strerror or error}.")
        return FAILED
    finally:
        display.idle()


async def _with_client(run: _Ask, question: str, file: Path | None, log_in: LogIn) -> int:
    async with run.client:
        return await run.run(question, file, log_in)
