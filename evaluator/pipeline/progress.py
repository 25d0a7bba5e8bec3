"""Where a run stands: `progress.json` for the site, and the durations of finished stages for a resumed run."""

from __future__ import annotations

import json
import time
from pathlib import Path

from evaluator.contract import FailureCode, Progress, Stage
from evaluator.home import write_atomically
from evaluator.plain import whole_text

#: Progress of a method may come many times a second; the file is replaced at most this often.
MIN_INTERVAL_S = 0.5


class ProgressFile:
    """Replaces `out_dir/progress.json` atomically, whatever a method put into a message or the reason of a failure."""

    def __init__(self, out_dir: Path, run_id: str) -> None:
        self.path = out_dir / "progress.json"
        self.run_id = run_id
        self._last = 0.0
        self._stage: Stage = "starting"

    def stage(self, stage: Stage, message: str = "") -> None:
        self._stage = stage
        self._write(Progress(run_id=self.run_id, stage=stage, message=message))

    def fraction(self, fraction: float, message: str = "") -> None:
        if time.monotonic() - self._last < MIN_INTERVAL_S:
            return
        bounded = min(1.0, max(0.0, fraction))
        self._write(
            Progress(run_id=self.run_id, stage=self._stage, fraction=bounded, message=whole_text(message[:200]))
        )

    def failed(self, code: FailureCode, detail: str) -> None:
        self._write(Progress(run_id=self.run_id, stage="failed", failure=code, detail=whole_text(detail[-20_000:])))

    def _write(self, progress: Progress) -> None:
        self._last = time.monotonic()
        write_atomically(self.path, progress.model_dump_json() + "\n")


class StageRecord:
    """What finished stages measured (seconds, megabytes), kept in the work folder so that a resumed run has it."""

    def __init__(self, work_dir: Path) -> None:
        self.path = work_dir / "stages.json"

    def load(self) -> dict[str, float]:
        return dict(json.loads(self.path.read_text())) if self.path.is_file() else {}

    def add(self, **values: float | None) -> None:
        kept = self.load() | {name: value for name, value in values.items() if value is not None}
        write_atomically(self.path, json.dumps(kept) + "\n")
