"""The prices that are shipped: of the models that people set, as the vendors' lists had them when it was written.

They come from what was published of these lists from March to June 2026; a vendor may have changed them since. What is
not here has no price, and an answer by it no cost: a file of one's own (`MODEL_PRICES`) adds and replaces rows. Tokens
that a vendor's prompt cache had are cheaper and not told apart: no request asks for that cache.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from providers.prices import Price

_LISTED = date(2026, 3, 21)
"""The day from which these prices are known to be in force: an answer of before has no cost."""
_LONG = 200_000


def _listed(provider: str, model: str, read: str, written: str, up_to: int | None = None) -> Price:
    return Price(provider, model, _LISTED, Decimal(read), Decimal(written), up_to)


SHIPPED = (
    # Finds sentences on this machine: nobody is paid.
    _listed("local", "extractive-1", "0", "0"),
    _listed("openai", "gpt-4.1", "2.00", "8.00"),
    _listed("openai", "gpt-4.1-mini", "0.40", "1.60"),
    _listed("openai", "gpt-4.1-nano", "0.10", "0.40"),
    _listed("openai", "gpt-4o", "2.50", "10.00"),
    _listed("openai", "gpt-4o-2024-05-13", "5.00", "15.00"),
    _listed("openai", "gpt-4o-mini", "0.15", "0.60"),
    _listed("openai", "gpt-5", "1.25", "10.00"),
    _listed("openai", "gpt-5-mini", "0.25", "2.00"),
    _listed("openai", "gpt-5-nano", "0.05", "0.40"),
    _listed("openai", "gpt-5.1", "1.25", "10.00"),
    # What a longer prompt costs is left open.
    _listed("openai", "gpt-5.4", "2.50", "15.00", 272_000),
    _listed("openai", "o3", "2.00", "8.00"),
    _listed("openai", "o4-mini", "1.10", "4.40"),
    _listed("gemini", "gemini-2.5-flash", "0.30", "2.50"),
    _listed("gemini", "gemini-2.5-flash-lite", "0.10", "0.40"),
    _listed("gemini", "gemini-2.5-pro", "1.25", "10.00", _LONG),
    _listed("gemini", "gemini-2.5-pro", "2.50", "15.00"),
    _listed("gemini", "gemini-3-flash-preview", "0.50", "3.00"),
    _listed("gemini", "gemini-3.1-pro-preview", "2.00", "12.00", _LONG),
    _listed("gemini", "gemini-3.1-pro-preview", "4.00", "18.00"),
    _listed("anthropic", "claude-haiku-4-5", "1.00", "5.00"),
    _listed("anthropic", "claude-sonnet-4-5", "3.00", "15.00", _LONG),
    _listed("anthropic", "claude-sonnet-4-6", "3.00", "15.00"),
    _listed("anthropic", "claude-opus-4-5", "5.00", "25.00"),
    _listed("anthropic", "claude-opus-4-6", "5.00", "25.00"),
    _listed("anthropic", "claude-opus-4-7", "5.00", "25.00"),
)
