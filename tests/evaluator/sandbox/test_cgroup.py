"""What the kernel's counters say about memory, read from folders laid out as the kernel lays them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluator.sandbox import cgroup
from evaluator.sandbox.cgroup import Meter

LIMIT = 64 << 20


@pytest.fixture
def version_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The group of one container under version 1: its parent keeps the peak, its own folder the rest."""
    monkeypatch.setattr(cgroup, "ROOT", tmp_path)
    own = tmp_path / "memory" / "palimpsest" / "a" / "libpod-1"
    own.mkdir(parents=True)
    (own.parent / "memory.max_usage_in_bytes").write_text(str(LIMIT))
    return own


@pytest.mark.parametrize(("used", "filled"), [(60 << 20, True), (5 << 20, False)])
def test_a_limit_reached_by_file_cache_alone_is_no_lack_of_memory(version_1: Path, used: int, filled: bool) -> None:
    (version_1 / "memory.stat").write_text(f"cache 9\nrss {used}\nshmem 0\n")
    meter = Meter("/palimpsest/a")
    meter.sample()
    assert meter.memory_reached(LIMIT)
    assert meter.memory_filled(LIMIT) is filled
    assert not meter.memory_killed()


def test_a_kill_is_remembered_after_the_containers_own_group_is_gone(version_1: Path) -> None:
    counter = version_1 / "memory.oom_control"
    counter.write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    meter = Meter("/palimpsest/a")
    meter.sample()
    counter.unlink()
    version_1.rmdir()
    meter.sample()
    assert meter.memory_killed()


def test_version_2_tells_a_kill_in_the_parent_group_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "ROOT", tmp_path)
    group = tmp_path / "palimpsest" / "a"
    group.mkdir(parents=True)
    (group / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    assert Meter("/palimpsest/a").memory_killed()
