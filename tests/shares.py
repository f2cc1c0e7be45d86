"""How pytest-xdist's processes share the tests: a pytest plugin.

A file goes to one process as a whole, so that what its tests share is made once. So does the folder of attacks, which
share an API and measure it: two at once would measure each other.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadFileScheduling

_TOGETHER = "tests/attacks/"


class _Shares(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return _TOGETHER if nodeid.startswith(_TOGETHER) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> _Shares | None:
    """Ours, unless another one is asked for by `--dist`."""
    return _Shares(config, log) if config.getoption("dist") == "load" else None
