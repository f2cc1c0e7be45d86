"""What an answer costs by the table that is shipped and by one's own."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest

from core.errors import ConfigurationError
from core.model_settings import ChatProviderName
from core.settings import Settings
from providers.price_table import SHIPPED
from providers.prices import Price, Prices, read_prices
from providers.registry import Providers

TODAY = date(2026, 11, 26)


def price(
    model: str = "m", since: str = "2026-01-01", read: str = "1", written: str = "2", up_to: int | None = None
) -> Price:
    return Price("openai", model, date.fromisoformat(since), Decimal(read), Decimal(written), up_to)


def cost(
    prices: Prices,
    model: str = "m",
    tokens: tuple[int | None, int | None] = (1_000_000, 0),
    *,
    provider: str = "openai",
    base_url: str | None = None,
    on: date = TODAY,
) -> Decimal | None:
    return prices.cost(provider, model, tokens, base_url=base_url, on=on)


@pytest.mark.parametrize(
    ("tokens", "dollars"),
    [
        ((120, 14), "0.0000704"),
        ((0, 0), "0"),
        ((1, 0), "0.0000004"),
        ((2**31 - 1, 2**31 - 1), "4294.967294"),
    ],
)
def test_a_cost_is_exact_to_the_last_place_that_is_stored(tokens: tuple[int, int], dollars: str) -> None:
    found = cost(Prices(SHIPPED), "gpt-4.1-mini", tokens)
    assert found == Decimal(dollars)
    assert found.as_tuple().exponent == -9


def test_what_is_smaller_than_the_last_place_is_rounded() -> None:
    prices = Prices([price(read="0.0015", written="0.0005")])
    assert cost(prices, tokens=(1, 0)) == Decimal("0.000000002")
    assert cost(prices, tokens=(0, 1)) == Decimal("0E-9")


@pytest.mark.parametrize("tokens", [(None, 3), (3, None), (None, None)])
def test_unknown_tokens_cost_nobody_knows_what(tokens: tuple[int | None, int | None]) -> None:
    assert cost(Prices(SHIPPED), "gpt-4.1-mini", tokens) is None


@pytest.mark.parametrize(
    ("provider", "model", "base_url", "dollars"),
    [
        ("openai", "gpt-4.1-mini-2025-04-14", None, "0.40"),
        ("openai", "gpt-4o", None, "2.50"),
        # This version costs more than the model does now.
        ("openai", "gpt-4o-2024-05-13", None, "5.00"),
        ("anthropic", "claude-haiku-4-5-20251001", None, "1.00"),
        ("gemini", "models/gemini-2.5-flash", None, "0.30"),
        ("local", "extractive-1", None, "0"),
        ("openai", "gpt-4.1-mini", "https://api.openai.com/v1", "0.40"),
        ("openai", "gemini-2.5-flash", "https://generativelanguage.googleapis.com/v1beta/openai", "0.30"),
        ("openai", "claude-sonnet-4-6", "https://api.anthropic.com/v1/", "3.00"),
        # Unknown models, and known ones at an address whose prices nobody knows.
        ("openai", "gpt-99", None, None),
        ("openai", "gpt-4.1-mini-tuned", None, None),
        ("openai", "", None, None),
        ("anthropic", "gpt-4.1-mini", None, None),
        ("openai", "gpt-4.1-mini", "http://127.0.0.1:11434/v1", None),
        ("anthropic", "claude-sonnet-4-6", "http://127.0.0.1:4000", None),
    ],
)
def test_a_price_is_a_model_s_at_an_address(
    provider: str, model: str, base_url: str | None, dollars: str | None
) -> None:
    found = cost(Prices(SHIPPED), model, provider=provider, base_url=base_url)
    assert found == (None if dollars is None else Decimal(dollars))


def test_the_price_of_the_day_counts() -> None:
    prices = Prices([price(since="2026-06-01", read="3"), price(since="2026-01-01"), price(since="2027-01-01")])
    days = ("2025-12-31", "2026-01-01", "2026-05-31", "2026-06-01", "2026-12-31", "2027-01-01")
    found = [cost(prices, on=date.fromisoformat(day)) for day in days]
    assert found == [None, Decimal(1), Decimal(1), Decimal(3), Decimal(3), Decimal(1)]


def test_a_long_prompt_has_its_own_price_or_none() -> None:
    prices = Prices([price("a", read="2"), price("a", up_to=200_000), price("b", up_to=200_000)])
    assert cost(prices, "a", (200_000, 0)) == Decimal("0.2")
    assert cost(prices, "a", (200_001, 0)) == Decimal("0.400002")
    assert cost(prices, "b", (200_000, 0)) == Decimal("0.2")
    assert cost(prices, "b", (200_001, 0)) is None


def test_a_table_of_one_s_own_adds_and_replaces_and_counts_at_any_address() -> None:
    own = [price("gpt-4.1", "2026-06-01", "9", "9"), price("mine", read="5")]
    prices = Prices(SHIPPED, own)
    for base_url in (None, "http://127.0.0.1:11434/v1"):
        assert cost(prices, "gpt-4.1-2025-04-14", base_url=base_url) == Decimal(9)
        assert cost(prices, "mine", base_url=base_url) == Decimal(5)
    # All rows of the model are replaced: before its day it has no price.
    assert cost(prices, "gpt-4.1", on=date(2026, 5, 1)) is None
    assert cost(prices, "gpt-4.1-mini") == Decimal("0.40")


def test_the_default_models_have_a_price_and_no_row_stands_twice() -> None:
    settings, prices = Settings(), Prices(SHIPPED)
    for provider, model in (
        ("local", "extractive-1"),
        ("gemini", settings.gemini_chat_model),
        ("openai", settings.openai_chat_model),
        ("anthropic", settings.anthropic_model),
    ):
        assert cost(prices, model, provider=provider) is not None, model
    places = [(row.provider, row.model, row.since, row.prompt_up_to) for row in SHIPPED]
    assert len(set(places)) == len(places)
    assert {row.provider for row in SHIPPED} <= set(get_args(ChatProviderName))


GOOD = """
[[price]]
provider = "openai"
model = "llama3.3:70b"
since = 2026-01-01
input = 0.1
output = "0.2"

[[price]]
provider = "anthropic"
model = "claude-sonnet-4-6"
since = 2026-11-01
input = 2
output = 10
prompt_up_to = 200_000
"""


async def test_a_file_of_prices_is_read_exactly(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(GOOD)
    first, second = read_prices(path)
    assert first == Price("openai", "llama3.3:70b", date(2026, 1, 1), Decimal("0.1"), Decimal("0.2"))
    assert second == Price("anthropic", "claude-sonnet-4-6", date(2026, 11, 1), Decimal(2), Decimal(10), 200_000)
    providers = Providers(Settings(model_prices=path, openai_base_url="http://127.0.0.1:1/v1"))
    assert providers.cost("openai", "llama3.3:70b", (10, 10), cached=False) == Decimal("0.000003")
    assert providers.cost("openai", "unknown", (10, 10), cached=False) is None
    # Nobody was asked, whatever it would have cost.
    for model in ("llama3.3:70b", "unknown"):
        assert providers.cost("openai", model, (10, 10), cached=True) == 0


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"openai"', '"nobody"', "price 0 provider: Input should be"),
        ('"llama3.3:70b"', '""', "price 0 model"),
        ("0.1\n", "-1\n", "price 0 input: Input should be greater than or equal to 0"),
        ("0.1\n", "100_001\n", "price 0 input: Input should be less than"),
        ("0.1\n", "nan\n", "price 0 input"),
        ('"0.2"', '"free"', "price 0 output"),
        ("since = 2026-01-01\n", "", "price 0 since: Field required"),
        ("prompt_up_to", "up_to", "price 1 up_to: Extra inputs are not permitted"),
        ("200_000", "0", "price 1 prompt_up_to"),
        ("[[price]]", "[[prices]]", "price: Field required"),
        ("[[price]]", "[[price", "is no TOML"),
        (GOOD, GOOD + GOOD.split("\n\n")[0], "two prices of llama3.3:70b from 2026-01-01 on"),
    ],
)
def test_a_file_that_is_wrong_stops_the_start_and_says_where(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigurationError) as caught:
        Providers(Settings(model_prices=path))
    assert str(caught.value).startswith(f"MODEL_PRICES: {path}: {complaint}")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"MODEL_PRICES: .* cannot be read"):
        Providers(Settings(model_prices=tmp_path / "none.toml"))
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="is no TOML"):
        Providers(Settings(model_prices=tmp_path / "bytes.toml"))
