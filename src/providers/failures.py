"""What a provider's failure means to the person who waits: one wording for all vendors, whose own text stays out."""

from __future__ import annotations

from core.errors import ErrorCode, ProviderError


def bad_key() -> ProviderError:
    """The key is wrong, has expired, or may not do this."""
    return ProviderError(ErrorCode.PROVIDER_AUTH, "The AI provider refused this deployment's key.", retryable=False)


def of_own_key(error: ProviderError) -> ProviderError:
    """The same where the key was the organisation's own, and not the platform's."""
    own = {
        (ErrorCode.PROVIDER_AUTH, False): "The AI provider refused your organisation's own key.",
        (ErrorCode.PROVIDER_RATE_LIMITED, True): (
            "The AI provider's limit for your organisation's own key is reached. Try again later."
        ),
        (ErrorCode.PROVIDER_RATE_LIMITED, False): (
            "The AI provider's quota for your organisation's own key is used up."
        ),
    }
    message = own.get((error.code, error.retryable), error.message)
    return ProviderError(error.code, message, retryable=error.retryable, retry_after=error.retry_after)


def rate_limited(retry_after: float | None) -> ProviderError:
    """Too much in too short a time; `retry_after` in seconds, where the vendor says so."""
    return ProviderError(
        ErrorCode.PROVIDER_RATE_LIMITED,
        "The AI provider's limit for this deployment is reached. Try again later.",
        retryable=True,
        retry_after=retry_after,
    )


def used_up() -> ProviderError:
    """What has been paid for is spent: waiting does not help."""
    return ProviderError(
        ErrorCode.PROVIDER_RATE_LIMITED, "The AI provider's quota for this deployment is used up.", retryable=False
    )


def too_long() -> ProviderError:
    """The prompt is longer than the model reads."""
    return ProviderError(
        ErrorCode.CONTEXT_TOO_LONG,
        "The question with its context is longer than the model can read. Ask more briefly, "
        "or start a new conversation.",
        retryable=False,
    )


def filtered() -> ProviderError:
    """The vendor's filter takes offence at what was asked."""
    return ProviderError(ErrorCode.CONTENT_FILTERED, "The AI provider's filter refused this question.", retryable=False)


def unavailable(retry_after: float | None = None) -> ProviderError:
    """Nobody answers there, the connection broke, or the server is overloaded or in trouble."""
    return ProviderError(
        ErrorCode.PROVIDER_UNAVAILABLE,
        "The AI provider is not available at the moment. Try again.",
        retryable=True,
        retry_after=retry_after,
    )


def timed_out() -> ProviderError:
    """The vendor said nothing for the configured time."""
    return ProviderError(ErrorCode.TIMED_OUT, "The AI provider did not answer in time. Try again.", retryable=True)


def not_accepted() -> ProviderError:
    """The vendor does not take such a request."""
    return ProviderError(
        ErrorCode.PROVIDER_BAD_RESPONSE, "The AI provider did not accept the request.", retryable=False
    )


def unreadable() -> ProviderError:
    """The answer is empty, cut off or not what the protocol says."""
    return ProviderError(
        ErrorCode.PROVIDER_BAD_RESPONSE, "The AI provider's answer could not be read. Try again.", retryable=True
    )
