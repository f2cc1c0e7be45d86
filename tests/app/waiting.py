"""Waiting for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil


def until(happened: Callable[[], bool]) -> None:
    """Look again and again until it is so; pytest's time limit for the test bounds it."""
    while not happened():
        time.sleep(0.02)  # it happens in another process: there is nothing to wait on


def has_ended(process: psutil.Process) -> bool:
    """Whether it is gone, or waits only for its parent to take notice."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
