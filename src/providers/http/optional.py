"""Parameters that some models, or older servers, refuse: left out from then on where one is named in a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.http.refusals import Refusal


class OptionalParameters:
    """What each model does not take, remembered for the process."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self._refused: dict[str, set[str]] = {}

    def accepted(self, body: Mapping[str, Any], model: str) -> dict[str, Any]:
        """The request's body without what this model is known not to take."""
        refused = self._refused.get(model, ())
        return {name: value for name, value in body.items() if name not in refused}

    def left_out(self, received: Refusal, model: str) -> bool:
        """Whether the request is worth sending again, because it will lack what was refused."""
        if received.status not in (400, 422):
            return False
        known = self._refused.setdefault(model, set())
        for name in self._names:
            if name not in known and (received.parameter.startswith(name) or name in received.detail):
                known.add(name)
                return True
        return False
