"""How many sockets a process keeps open, and for whom."""

from __future__ import annotations

from collections import Counter

from datastores.rates import Subject


class SocketPlaces:
    """A process's open sockets by whose they are: an address's until somebody has signed in on them.

    Counted for each process alone, because what they use up is each process's own: memory and file descriptors.
    """

    def __init__(self, *, per_address: int, per_person: int) -> None:
        self._per_address = per_address
        self._per_person = per_person
        self._taken: Counter[Subject] = Counter()

    def arrive(self, address: Subject) -> SocketPlace | None:
        """A place for a socket on which nobody has signed in yet; None when the address has as many as it may."""
        return SocketPlace(self, address) if self.take(address, self._per_address) else None

    def take_for_person(self, person: Subject) -> bool:
        """Whether there was a place left."""
        return self.take(person, self._per_person)

    def take(self, whose: Subject, most: int) -> bool:
        """Whether there was a place left of so many."""
        if self._taken[whose] >= most:
            return False
        self._taken[whose] += 1
        return True

    def give_back(self, whose: Subject) -> None:
        """One socket fewer."""
        self._taken[whose] -= 1
        if self._taken[whose] <= 0:
            del self._taken[whose]  # or every address that ever came would be kept


class SocketPlace:
    """One open socket's place."""

    def __init__(self, places: SocketPlaces, whose: Subject) -> None:
        self._places = places
        self._whose: Subject | None = whose

    def sign_in(self, person: Subject) -> bool:
        """From here on it is this person's; False, and nothing changed, when the person has as many as it may."""
        if self._whose is None or not self._places.take_for_person(person):
            return False
        self._places.give_back(self._whose)
        self._whose = person
        return True

    def leave(self) -> None:
        """Give it back; once is enough."""
        if self._whose is not None:
            self._places.give_back(self._whose)
            self._whose = None
