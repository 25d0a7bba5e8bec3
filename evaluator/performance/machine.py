"""What a figure depends on besides the code: whether the machine is idle, its GEMM rate, a process's peak memory."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

#: Share of one core that others may use while we measure.
FOREIGN_CORES = 0.15


def _busy_ticks() -> int:
    """Clock ticks that all cores together have spent on work since the start (Linux)."""
    fields = [int(v) for v in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
    return user + nice + system + irq + softirq + steal


@dataclass
class ForeignLoad:
    """Cores used by others between the start and a reading; `own_s` is the CPU time of our own processes."""

    wall: float
    busy: int

    @classmethod
    def start(cls) -> ForeignLoad:
        return cls(time.monotonic(), _busy_ticks())

    def cores(self, own_s: float) -> float:
        wall = time.monotonic() - self.wall
        busy_s = (_busy_ticks() - self.busy) / os.sysconf("SC_CLK_TCK")
        return max(0.0, busy_s - own_s) / max(wall, 1e-9)


def require_idle(seconds: float = 3.0) -> None:
    """Raises `ValueError` when other processes use more than `FOREIGN_CORES` of a core."""
    load, own = ForeignLoad.start(), time.process_time()
    time.sleep(seconds)
    cores = load.cores(time.process_time() - own)
    if cores > FOREIGN_CORES:
        raise ValueError(
            f"machine: other processes use {cores:.2f} cores, more than {FOREIGN_CORES}; figures from a busy "
            "machine mean nothing. Stop them and try again."
        )


def gemm_gflops(size: int = 2048, repeats: int = 5) -> float:
    """The best rate of a square fp32 matrix product on this machine, in GFLOP/s, with the threads that torch has."""
    import torch  # noqa: PLC0415 - loads torch

    a, b = torch.randn(size, size), torch.randn(size, size)
    best = float("inf")
    for _ in range(repeats + 1):
        began = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best / 1e9


def peak_reset() -> None:
    """Forget this process's peak memory so far (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    """Peak resident memory of this process since `peak_reset`, in MB."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def resident_mb() -> float:
    """Resident memory of this process now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def processor() -> str:
    """The processor's name and its number of cores."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()} cores"
    return f"{os.cpu_count()} cores"
