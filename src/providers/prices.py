"""What an answer costs: prices by model and day, from the table that is shipped and an operator's own file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from core.errors import ConfigurationError
from core.model_settings import ChatProviderName

SMALLEST = Decimal("1e-9")
"""The smallest part of a dollar that is stored: `NUMERIC(18,9)`."""
_MILLION = Decimal(1_000_000)
_VENDORS = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gemini",
}
_DATED = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$")
"""The end of a model's name that says which version of it is meant."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens, read and written, from a day on (UTC).

    `prompt_up_to`: the longest prompt, in tokens, that costs so; a longer one has a row of its own, or no price.
    """

    provider: str
    model: str
    since: date
    input: Decimal
    output: Decimal
    prompt_up_to: int | None = None


class Prices:
    """Prices by provider and model. The same model is another's to price at another address."""

    def __init__(self, shipped: Iterable[Price], own: Iterable[Price] = ()) -> None:
        """All rows of a model in `own` stand in the place of all of those that are shipped."""
        self._shipped, self._own = _by_model(shipped), _by_model(own)

    def cost(
        self, provider: str, model: str, tokens: tuple[int | None, int | None], *, base_url: str | None, on: date
    ) -> Decimal | None:
        """US dollars for so many tokens read and written, to `SMALLEST`; None where price or tokens are not known.

        `base_url`: the provider's address, None for the vendor's own.
        """
        read, written = tokens
        price = None if read is None else self._price(provider, model, read, base_url, on)
        if price is None or read is None or written is None:
            return None
        return ((read * price.input + written * price.output) / _MILLION).quantize(SMALLEST)

    def _price(self, provider: str, model: str, prompt: int, base_url: str | None, on: date) -> Price | None:
        vendor = provider if base_url is None else _VENDORS.get(urlsplit(base_url).hostname or "")
        name = model.removeprefix("models/")
        for table, seller in ((self._own, provider), (self._shipped, vendor)):
            # The version's own price first, then that of the model without one.
            for key in ((seller, name), (seller, _DATED.sub("", name))):
                if rows := table.get(key):
                    return _in_force(rows, prompt, on)
        return None


def _in_force(rows: list[Price], prompt: int, on: date) -> Price | None:
    """Of the newest day that has come, the row for the shortest prompts of which this is one."""
    begun = [row for row in rows if row.since <= on]
    newest = max((row.since for row in begun), default=None)
    fitting = [row for row in begun if row.since == newest and (row.prompt_up_to is None or prompt <= row.prompt_up_to)]
    return min(fitting, key=lambda row: float("inf") if row.prompt_up_to is None else row.prompt_up_to, default=None)


def _by_model(rows: Iterable[Price]) -> dict[tuple[str | None, str], list[Price]]:
    found: dict[tuple[str | None, str], list[Price]] = {}
    for row in rows:
        found.setdefault((row.provider, row.model), []).append(row)
    return found


# At 100,000 dollars the largest counts that are read from a vendor still fit into NUMERIC(18,9).
_Dollars = Annotated[Decimal, Field(ge=0, le=100_000)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid")

    provider: ChatProviderName
    model: Annotated[str, StringConstraints(min_length=1)]
    since: date
    input: _Dollars
    output: _Dollars
    prompt_up_to: Annotated[int, Field(ge=1)] | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    price: list[_Row]


def read_prices(path: Path) -> list[Price]:
    """The rows of an operator's TOML file, each a `[[price]]`. Raises `ConfigurationError`."""
    try:
        content = _File.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise _wrong(path, f"cannot be read ({error.strerror}). Expected a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _wrong(path, f"is no TOML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _wrong(path, f"{' '.join(map(str, first['loc']))}: {first['msg']}") from None
    rows = [Price(**row.model_dump()) for row in content.price]
    places = [(row.provider, row.model, row.since, row.prompt_up_to) for row in rows]
    for place, row in zip(places, rows, strict=True):
        if places.count(place) > 1:
            raise _wrong(path, f"two prices of {row.model} from {row.since} on")
    return rows


def _wrong(path: Path, what: str) -> ConfigurationError:
    return ConfigurationError(f"MODEL_PRICES: {path}: {' '.join(what.split())}.")
