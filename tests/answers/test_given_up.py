"""An answer of which every attempt was lost with its process ends with what the last of them had said."""

from __future__ import annotations

from pathlib import Path

import pytest
from conversing import CITED, DOCUMENT, asked, calls, followed, hold, kinds, stop, text_has_come, text_of, whole

from answers.vanished import MAX_ATTEMPTS
from core.settings import Settings
from owner import as_owner, uuid_of
from product import running_product
from wire import gemini, in_time

pytestmark = pytest.mark.timeout(60)  # two products


@pytest.mark.parametrize("stopped", [False, True], ids=["it fails", "a stop counts before that"])
async def test_what_was_said_is_kept_with_its_model_and_its_usage(
    settings: Settings, tmp_path: Path, stopped: bool
) -> None:
    async with (
        gemini(settings, tmp_path, chat_provider="gemini") as (server, own),
        running_product(own) as product,
        running_product(own, worker=False, flush=False) as another,
    ):
        person = await product.sign_up()
        await person.ready_document(DOCUMENT)
        hold(server, CITED)
        answer_id = await asked(person, await person.conversation())
        await text_has_come(person, answer_id)
        # As if it were the last attempt that may be lost, and its process had died.
        await as_owner(
            own,
            "UPDATE answers SET epoch = $1, stop_requested_at = CASE WHEN $2 THEN now() END",
            MAX_ATTEMPTS,
            stopped,
        )
        another.services.supervisor.produce(person.tenant_id, uuid_of(answer_id), MAX_ATTEMPTS)
        events = await in_time(followed(person, answer_id))
        assert kinds(events)[-1] == ("Stopped" if stopped else "Failed")
        if not stopped:
            assert events[-1]["failure"]["code"] == "INTERRUPTED"
            assert events[-1]["failure"]["retryable"]
        assert (text_of(events), whole(events)) == ("At half past seven [1], as", True)
        answer = await stop(person, answer_id)  # of one that has ended it changes nothing
        assert answer["status"] == ("STOPPED" if stopped else "FAILED")
        assert (answer["message"]["text"], len(answer["citations"])) == (text_of(events), 1)
        assert answer["usage"]["inputTokens"] > answer["usage"]["outputTokens"] > 0
        assert await as_owner(own, "SELECT model FROM answers") == [("gemini-2.5-flash",)]
        # What was written once is stored once, by one more attempt, which asked nobody.
        assert await as_owner(own, "SELECT count(*) FROM messages WHERE answer_id IS NOT NULL") == [(1,)]
        assert await as_owner(own, "SELECT epoch FROM answer_attempts") == [(MAX_ATTEMPTS + 1,)]
        assert calls(server) == 1
