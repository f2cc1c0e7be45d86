"""How an answer ends, and whether what a model has said is one."""

from __future__ import annotations

from core.errors import ErrorCode, ProviderError
from datastores.answer_events import Body, Completed, Failed, Stopped
from datastores.models import AnswerStatus
from providers.base import ChatFinished, StopReason

STATUS: dict[type[Body], AnswerStatus] = {
    Completed: AnswerStatus.COMPLETED,
    Stopped: AnswerStatus.STOPPED,
    Failed: AnswerStatus.FAILED,
}


class StopRequestedError(Exception):
    """A person has stopped the answer: it ends with what it has said."""


def checked_end(finished: ChatFinished | None, text: str) -> ChatFinished:
    """The end of a model's stream, which came to one and has text. Raises `ProviderError`."""
    if finished is None:
        raise ProviderError(
            ErrorCode.PROVIDER_BAD_RESPONSE, "The model broke off in the middle of its answer.", retryable=True
        )
    if finished.stop_reason is StopReason.CONTENT_FILTERED:
        raise ProviderError(
            ErrorCode.CONTENT_FILTERED, "The model's content filter stopped this answer.", retryable=False
        )
    if not text.strip():
        raise ProviderError(ErrorCode.PROVIDER_BAD_RESPONSE, "The model gave an empty answer.", retryable=True)
    return finished
