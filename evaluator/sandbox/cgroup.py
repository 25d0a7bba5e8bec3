"""What the kernel counted for one container: memory peak, kills for lack of memory, refused processes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
#: Pages are charged in batches, so the peak stays a little under a limit that was reached.
_SLACK_BYTES = 1 << 20
#: Share of a limit that the program's own memory must have taken to count as the reason.
_OWN_SHARE = 0.8


@dataclass
class Meter:
    """Watches `name`, the parent group of one container; it outlives the container, so its peaks can be read late.

    `sample` is called while the container runs: the counters of refusals live in the container's own group, which
    goes away with it.
    """

    name: str  # e.g. /palimpsest/0123456789abcdef
    oom_kills: int = 0
    refused_forks: int = 0
    used_bytes: int = 0

    def sample(self) -> None:
        for group in self._groups("memory"):
            for path in _containers(group):
                stat = path / "memory.stat"
                used = (_field(stat, "rss") or _field(stat, "anon")) + _field(stat, "shmem")
                self.used_bytes = max(self.used_bytes, used)
                # Version 1 tells in oom_control, version 2 in events.
                kills = max(_field(path / "memory.oom_control", "oom_kill"), _field(path / "memory.events", "oom_kill"))
                self.oom_kills = max(self.oom_kills, kills)
        for group in self._groups("pids"):
            for path in _containers(group):
                self.refused_forks = max(self.refused_forks, _field(path / "pids.events", "max"))

    def program_peak_bytes(self) -> int | None:
        """The most memory of the program itself and its memory files (/out, /tmp, /dev/shm), as sampled.

        The kernel's own peak also counts file cache, whose charge depends on who read a file first: twice as much on
        the first run of an image as on the second. So that one only tells whether a limit was reached.
        """
        return self.used_bytes or self.peak_bytes()

    def peak_bytes(self) -> int | None:
        """The kernel's peak, with file cache; None where it does not tell."""
        for group in self._groups("memory"):
            for file in ("memory.max_usage_in_bytes", "memory.peak"):
                if (value := _number(group / file)) is not None:
                    return value
        return None

    def memory_filled(self, limit_bytes: int) -> bool:
        """Whether the limit was reached by the program's own memory, for the most part: file cache alone is given back
        and ends nothing. For a container that was gone before its counter of kills could be read.
        """
        return self.memory_reached(limit_bytes) and self.used_bytes >= _OWN_SHARE * limit_bytes

    def memory_killed(self) -> bool:
        # On version 2 the counters of the container add up in this group too, which can be read late.
        kills = max((_field(group / "memory.events", "oom_kill") for group in self._groups("memory")), default=0)
        return self.oom_kills + kills > 0

    def memory_reached(self, limit_bytes: int) -> bool:
        peak = self.peak_bytes()
        return peak is not None and peak >= limit_bytes - _SLACK_BYTES

    def processes_reached(self, limit: int) -> bool:
        groups = self._groups("pids")
        refused = self.refused_forks + sum(_field(group / "pids.events", "max") for group in groups)
        return refused > 0 or any((_number(group / "pids.peak") or 0) >= limit for group in groups)

    def remove(self, patience_s: float = 2.0) -> None:
        """Remove the group in every hierarchy. The engine's monitor may still be leaving it: what is busy is tried
        again for a while, then left for a sweep."""
        give_up = time.monotonic() + patience_s
        groups = [path / self.name.lstrip("/") for path in (ROOT, *ROOT.glob("*"))]
        while groups := [group for group in groups if not _remove(group)]:
            if time.monotonic() > give_up:
                return
            time.sleep(0.02)

    def _groups(self, controller: str) -> list[Path]:
        candidates = (ROOT / controller / self.name.lstrip("/"), ROOT / self.name.lstrip("/"))
        return [path for path in candidates if path.is_dir()]


def _containers(group: Path) -> list[Path]:
    """The groups of containers under one of ours: podman's `libpod-<id>`, docker's `<id>`; not the monitor's."""
    return [path for path in group.glob("*/") if path.name != "conmon"]


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _field(path: Path, name: str) -> int:
    try:
        for line in path.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    except (OSError, ValueError):
        pass
    return 0


def _remove(group: Path) -> bool:
    """Whether the group is gone, with the groups in it; its parent goes too when it was the last."""
    if not group.is_dir():
        return True
    for folder in (*(path for path in group.iterdir() if path.is_dir()), group, group.parent):
        try:
            folder.rmdir()
        except OSError:
            continue
    return not group.is_dir()
