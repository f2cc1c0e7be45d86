"""Whether a provider is worth asking: a circuit for each provider and key, open after so many failures in a row.

While it is open nobody asks. After a pause one call is let through (half open): if it fails, the pause begins again; if
not, the circuit is closed. A key's circuit is its own, so that a bad one costs nobody else anything.
"""

from __future__ import annotations

import enum
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog

from core.errors import ErrorCode, ProviderError
from core.model_settings import ModelSettings
from providers.own_keys import OwnKey

WINDOW_SECONDS: Final = 300.0
"""That the failure rate is of."""
MOST_CALLS: Final = 1_000
"""That are counted for it, of one circuit."""
MOST_CIRCUITS: Final = 1_000
"""Of keys of tenants' own; the one that was used longest ago is forgotten."""
_FAILURES = frozenset(
    {
        ErrorCode.PROVIDER_AUTH,
        ErrorCode.PROVIDER_RATE_LIMITED,
        ErrorCode.PROVIDER_UNAVAILABLE,
        ErrorCode.TIMED_OUT,
    }
)
log = structlog.get_logger(__name__)


class CircuitState(enum.Enum):
    """Whether the provider is asked."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


class CircuitOpenError(ProviderError):
    """Nobody was asked. Asking again before `retry_after` is of no use."""

    def __init__(self, retry_after: float, *, own: bool) -> None:
        whose = " with your organisation's own key" if own else ""
        message = f"The AI provider has failed again and again{whose}, and is left alone for a moment. Try again soon."
        super().__init__(ErrorCode.PROVIDER_UNAVAILABLE, message, retryable=True, retry_after=retry_after)


@dataclass(frozen=True, slots=True)
class Health:
    """How a provider has done with a key, as this process has seen it."""

    state: CircuitState
    calls: int
    """Within the last five minutes, at most `MOST_CALLS`."""
    failures: int
    last_failure_at: datetime | None
    last_failure_code: ErrorCode | None

    @property
    def failure_rate(self) -> float | None:
        """0 to 1; None where nobody was asked."""
        return self.failures / self.calls if self.calls else None


class _Circuit:
    def __init__(self) -> None:
        self.calls: deque[tuple[float, bool]] = deque(maxlen=MOST_CALLS)
        self.in_a_row = 0
        self.open_until: float | None = None
        self.probing = False
        self.last: tuple[datetime, ErrorCode] | None = None


class Circuits:
    """One per process: each finds out for itself, within as many failures."""

    def __init__(self, settings: ModelSettings, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: in seconds."""
        self._clock = clock
        self._limit, self._pause = settings.provider_circuit_failures, settings.provider_circuit_pause
        self._platform: dict[str, _Circuit] = {}
        self._own: OrderedDict[OwnKey, _Circuit] = OrderedDict()

    @contextmanager
    def call(self, provider: str, own: OwnKey | None) -> Iterator[None]:
        """Inside the block the provider is asked; how that ends is counted. Raises `CircuitOpenError`.

        What it answers, a refusal of a question among it, is no failure. A call that somebody ends tells nothing.
        """
        circuit = self._of(provider, own)
        probe = self._admit(circuit, own)
        try:
            yield
        except ProviderError as error:
            broken = error.code is ErrorCode.PROVIDER_BAD_RESPONSE and error.retryable
            if error.code in _FAILURES or broken:
                self._failed(circuit, provider, own, error.code)
            else:
                self._answered(circuit, provider, own)
            raise
        else:
            self._answered(circuit, provider, own)
        finally:
            if probe:
                circuit.probing = False

    def health(self, provider: str, own: OwnKey | None) -> Health:
        """Of the provider with that key, or with the platform's."""
        found = self._platform.get(provider) if own is None else self._own.get(own)
        circuit, since = found or _Circuit(), self._clock() - WINDOW_SECONDS
        recent = [failed for at, failed in circuit.calls if at >= since]
        at, code = circuit.last or (None, None)
        return Health(self._state(circuit), len(recent), sum(recent), at, code)

    def _state(self, circuit: _Circuit) -> CircuitState:
        if circuit.open_until is None:
            return CircuitState.CLOSED
        return CircuitState.OPEN if self._clock() < circuit.open_until else CircuitState.HALF_OPEN

    def _of(self, provider: str, own: OwnKey | None) -> _Circuit:
        if own is None:
            return self._platform.setdefault(provider, _Circuit())
        circuit = self._own.setdefault(own, _Circuit())
        self._own.move_to_end(own)
        while len(self._own) > MOST_CIRCUITS:
            self._own.popitem(last=False)
        return circuit

    def _admit(self, circuit: _Circuit, own: OwnKey | None) -> bool:
        """Whether the call is the one that finds out. Raises `CircuitOpenError`."""
        if circuit.open_until is None:
            return False
        left = circuit.open_until - self._clock()
        if left > 0 or circuit.probing:
            raise CircuitOpenError(max(left, 1.0), own=own is not None)
        circuit.probing = True
        return True

    def _failed(self, circuit: _Circuit, provider: str, own: OwnKey | None, code: ErrorCode) -> None:
        now = self._clock()
        circuit.calls.append((now, True))
        circuit.in_a_row += 1
        circuit.last = (datetime.now(UTC), code)
        # Calls that had been let through before it opened do not make the pause longer.
        if circuit.in_a_row >= self._limit and (circuit.open_until is None or circuit.probing):
            circuit.open_until = now + self._pause
            fields = {"failures": circuit.in_a_row, "code": code.value, "seconds": self._pause}
            log.warning("provider circuit opened", provider=provider, key=_whose(own), **fields)

    def _answered(self, circuit: _Circuit, provider: str, own: OwnKey | None) -> None:
        circuit.calls.append((self._clock(), False))
        circuit.in_a_row = 0
        if circuit.open_until is not None:
            circuit.open_until = None
            log.info("provider circuit closed", provider=provider, key=_whose(own))


def _whose(own: OwnKey | None) -> str:
    return "platform" if own is None else f"tenant {own.tenant_id.hex}"
