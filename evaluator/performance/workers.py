"""Contenders as processes: started, asked one after the other in interleaved rounds, and stopped."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from evaluator.performance.machine import ForeignLoad
from evaluator.performance.worker import Setting

Say = Callable[[str], None]

SEED = 7
#: Cores that others may use during one measurement; above, it is measured again.
FOREIGN_CORES = 0.25
#: So much of what a process wrote last is told when it dies.
LAST_WORDS = 400


class Ended(ValueError):
    """A contender's process that gave no answer."""


class Worker:
    """A contender's process. Raises `Ended` when it does not come up."""

    def __init__(self, setting: Setting) -> None:
        self.name = setting.contender
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(setting.threads))
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by `close`
        self.process = subprocess.Popen(
            [sys.executable, "-m", "evaluator.performance.worker", json.dumps(asdict(setting))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | threads | {"HF_HUB_OFFLINE": "1"},
        )
        self.weights_mb = float(self._read()["weights_mb"])

    def _read(self, within_s: float | None = None) -> dict[str, Any]:
        assert self.process.stdout is not None
        timer = threading.Timer(within_s or 0, self.process.kill)
        if within_s is not None:
            timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line:
            status = self.process.wait()
            self._errors.seek(0)
            said = self._errors.read().strip()[-LAST_WORDS:] if status > 0 else ""
            raise Ended(f"contender: {self.name} ended with status {status}" + (f": …{said}" if said else ""))
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, task: str, items: int = 0, *, within_s: float | None = None, **more: Any) -> dict[str, Any]:
        """Figures of one task. Raises `Ended` when the process dies, or is killed after `within_s`."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"task": task, "items": items, "seed": SEED, **more}) + "\n")
        self.process.stdin.flush()
        return self._read(within_s)

    def close(self) -> None:
        with suppress(BrokenPipeError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        self.process.wait(timeout=60)
        self._errors.close()


@contextmanager
def worker_open(setting: Setting) -> Iterator[Worker]:
    worker = Worker(setting)
    try:
        yield worker
    finally:
        worker.close()


@dataclass
class Rounds:
    """Figures of one contender's task over all rounds."""

    figures: list[dict[str, Any]] = field(default_factory=list)

    def median(self, name: str) -> float:
        return statistics.median(float(f[name]) for f in self.figures)

    def most(self, name: str) -> float:
        return max(float(f[name]) for f in self.figures)


@dataclass(frozen=True)
class Asked:
    """A task of one contender's in the rounds: `worker` is its key among the processes."""

    worker: str
    task: str
    items: int = 0
    more: Mapping[str, Any] = field(default_factory=dict)


def rounds_run(
    workers: Mapping[str, Worker], tasks: Sequence[Asked], rounds: int, say: Say, foreign: float = FOREIGN_CORES
) -> dict[tuple[str, str], Rounds]:
    """ABBA: every second round goes through the contenders backwards. A disturbed measurement is done again.

    `foreign`: cores that others may use meanwhile. Raises `ValueError` when they use more three times in a row.
    """
    found: dict[tuple[str, str], Rounds] = {(asked.worker, asked.task): Rounds() for asked in tasks}
    for number in range(rounds):
        for asked in tasks if number % 2 == 0 else list(reversed(tasks)):
            for _ in range(3):
                load = ForeignLoad.start()
                figures = workers[asked.worker].ask(asked.task, asked.items, **asked.more)
                cores = load.cores(figures["cpu_s"])
                if cores <= foreign:
                    break
                say(f"round {number + 1}, {asked.worker}: {cores:.2f} cores used by others; measured again")
            else:
                raise ValueError("machine: it did not stay idle for one measurement in three; stop what else runs here")
            found[asked.worker, asked.task].figures.append(figures)
        say(f"round {number + 1} of {rounds} done")
    return found
