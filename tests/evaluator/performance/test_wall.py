"""The bench of the wall: real containers beside plain ones, and shares that add up."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluator.performance.wall import METHODS, PARTS, TARGET_SHARE, Ran, WallReport, _containers
from evaluator.sandbox import PodmanSandbox
from tests.evaluator.sandbox.containers import podman

__all__ = ["podman"]


def report(total_s: float) -> WallReport:
    parts = dict.fromkeys(PARTS, 0.1)
    runs = {(method, backend): [Ran(total_s, parts)] for method in METHODS for backend in ("process", "podman")}
    return WallReport(1, [0.1], [0.2], runs)


def test_the_share_is_of_the_whole_run_and_decides() -> None:
    assert report(40.0).share(METHODS[0]) == pytest.approx(0.4 / 40)
    assert report(0.4 / TARGET_SHARE + 0.1).passed
    assert not report(0.4 / TARGET_SHARE - 0.1).passed
    assert "MISSED" in report(1.0).table() and "40.0 %" in report(1.0).table()


@pytest.mark.container
def test_an_empty_container_is_timed_beside_a_plain_one(podman: PodmanSandbox, tmp_path: Path) -> None:
    found = WallReport(1)
    _containers(podman, tmp_path, found, 1)
    assert len(found.plain_s) == len(found.ours_s) == 5
    assert min(found.plain_s) > 0 and min(found.ours_s) > 0
