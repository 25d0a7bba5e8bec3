"""The clock of one run: every second counts for one stage, over all the processes that worked at the run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from evaluator.contract.seconds import TIMED_STAGES, Decoded, RunSeconds, Seconds, TimedStage
from evaluator.home import write_atomically

logger = logging.getLogger(__name__)

#: Stages may follow each other many times a second; the note for a next life is written at most this often.
MIN_INTERVAL_S = 1.0

T = TypeVar("T")
Reading = Callable[[], float]


class Clock:
    """Counts from its making on. A second belongs to the stage that was entered last and is not left yet; outside all
    of them to "other". What earlier lives of the run have noted in its work folder is counted too.
    """

    def __init__(
        self, work_dir: Path, run_id: str, *, wall: Reading = time.monotonic, cpu: Reading = time.process_time
    ) -> None:
        self.run_id, self.path = run_id, work_dir / "seconds.json"
        self._wall, self._cpu = wall, cpu
        self._before = _noted(self.path, run_id)
        self._stages = dict(self._before.stages)
        self._decoded = self._before.decoded
        self._inside: list[TimedStage] = ["other"]
        self._began = self._turned = self._read()
        self._noted_s = self._began.wall_s

    @contextmanager
    def stage(self, name: TimedStage) -> Iterator[None]:
        """What goes on inside counts for `name`, and no longer for the stage around it."""
        self._turn()
        self._inside.append(name)
        try:
            yield
        finally:
            self._turn()
            self._inside.pop()
            if self._turned.wall_s - self._noted_s >= MIN_INTERVAL_S:
                self.note()

    @contextmanager
    def around(self, name: TimedStage, context: AbstractContextManager[T]) -> Iterator[T]:
        """Enter and leave `context` in the stage `name`; what goes on inside counts as before."""
        enclosing = self._inside[-1]
        with self.stage(name), context as entered, self.stage(enclosing):
            yield entered

    def shift(self, wall_s: float, source: TimedStage, target: TimedStage) -> None:
        """Count `wall_s` that went by in `source` for `target`: somebody else measured them. Never more than it has."""
        self._turn()
        moved = Seconds(wall_s=min(max(wall_s, 0.0), self._of(source).wall_s))
        self._stages |= {source: self._of(source) - moved, target: self._of(target) + moved}

    def count(self, decoded: Decoded) -> None:
        """Add what a model under test has decoded."""
        self._decoded += decoded

    def seconds(self) -> RunSeconds:
        """All that is counted up to now."""
        self._turn()
        return RunSeconds(
            run_id=self.run_id,
            lives=self._before.lives + 1,
            whole=self._before.whole + (self._turned - self._began),
            stages={stage: Seconds() for stage in TIMED_STAGES} | self._stages,
            decoded=self._decoded,
        )

    def wall_s(self, *stages: TimedStage) -> float:
        """Seconds of these stages up to now."""
        self._turn()
        return sum(self._of(stage).wall_s for stage in stages)

    def note(self) -> None:
        """Write down what is counted, for a next life. A disk without room costs the note and not the run."""
        found = self.seconds()
        self._noted_s = self._turned.wall_s
        try:
            write_atomically(self.path, found.model_dump_json() + "\n")
        except OSError as error:
            logger.warning("the seconds of the run were not noted: %s", error)

    def _read(self) -> Seconds:
        return Seconds(wall_s=self._wall(), cpu_s=self._cpu())

    def _of(self, stage: TimedStage) -> Seconds:
        return self._stages.get(stage, Seconds())

    def _turn(self) -> None:
        """Give what went by since the last turn to the stage that is entered."""
        now, stage = self._read(), self._inside[-1]
        self._stages[stage] = self._of(stage) + (now - self._turned)
        self._turned = now


def _noted(path: Path, run_id: str) -> RunSeconds:
    """What earlier lives have noted; nothing where there was none, or where it can't be read."""
    try:
        return RunSeconds.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        pass
    except (OSError, ValidationError) as error:
        logger.warning("the seconds of earlier lives are lost: %s", error)
    return RunSeconds(run_id=run_id, lives=0, whole=Seconds(), stages={})
