"""What several files on answers begin with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from core.settings import Settings

if TYPE_CHECKING:
    from conftest import SettingsOn


@pytest.fixture(scope="module")
def lasting(settings_on: SettingsOn, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings with a database of a file's own, for all of its tests."""
    with settings_on(template, tmp_path_factory.mktemp("lasting")) as settings:
        yield settings
