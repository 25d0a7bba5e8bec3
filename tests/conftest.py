"""Sorts tests by directory into the groups that `make test` runs one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
LIGHT = {"leaderboard", "house"}
NEVER_LIGHT = ("container", "browser", "chaos", "torch", "slow")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks each test `light` or `heavy`, or `browser`; a test is in exactly one of the three."""
    for item in items:
        room = item.path.relative_to(HERE).parts[0]
        if room == "browser" or item.get_closest_marker("browser"):
            item.add_marker("browser")
        elif room in LIGHT and not any(item.get_closest_marker(name) for name in NEVER_LIGHT):
            item.add_marker("light")
        else:
            item.add_marker("heavy")
