"""Takes in what the evaluator left: scorecard, receipt, seconds, trace, log; all is checked before it is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from evaluator.contract import FastRefused, Progress, Receipt, RunSeconds, Scorecard, log_end
from leaderboard.runs.models import Run
from leaderboard.runs.services import LOG_TAIL_BYTES, Lease
from leaderboard.traces.store import StoredTrace, trace_store

_JSON_LIMIT = 4_000_000  # bytes
_LOG_LIMIT = 1_000_000  # bytes; the evaluator keeps far fewer


class OutputsBad(RuntimeError):
    """The evaluator said that it is done, but its outputs are not what the contract says: a fault of the platform."""


@dataclass(frozen=True)
class Outputs:
    scorecard: Scorecard
    receipt: Receipt
    seconds: RunSeconds
    trace: StoredTrace
    log_tail: str


def progress_read(out_dir: Path) -> Progress | None:
    """The evaluator's progress, or None while there is none that can be read."""
    try:
        return Progress.model_validate_json((out_dir / "progress.json").read_bytes())
    except (OSError, ValidationError):
        return None


def outputs_take(*, run: Run, lease: Lease, out_dir: Path) -> Outputs:
    """Check and store the outputs of a finished run. Raises `OutputsBad`, `TraceRefused`, `OSError`."""
    try:
        scorecard = Scorecard.model_validate_json(_read(out_dir / "scorecard.json")).whole()
        receipt = Receipt.model_validate_json(_read(out_dir / "receipt.json"))
        seconds = RunSeconds.model_validate_json(_read(out_dir / "seconds.json"))
    except (OSError, ValidationError, FastRefused) as error:
        raise OutputsBad(str(error)) from error
    for name, found, wanted in (
        ("scorecard.run_id", scorecard.run_id, run.id),
        ("scorecard.release", scorecard.release, run.release.slug),
        ("scorecard.seed", scorecard.seed, run.seed),
        ("receipt.run_id", receipt.run_id, run.id),
        ("seconds.run_id", seconds.run_id, run.id),
    ):
        if found != wanted:
            raise OutputsBad(f"{name} is {found!r}, this run has {wanted!r}")
    hidden = not run.release.is_open
    source = out_dir / ("trace_public.parquet" if hidden else "trace.parquet")
    sealed = out_dir / "trace.sealed" if hidden else None
    trace = trace_store(source=source, run_id=run.id, fence=lease.fence, sealed=sealed)
    return Outputs(scorecard, receipt, seconds, trace, log_tail_read(out_dir))


def log_tail_read(out_dir: Path) -> str:
    """The end of the container's log, for `log_read`. On a hidden release it is for organisers: `runs.policies`."""
    try:
        with (out_dir / "run.log").open("rb") as handle:
            return log_end(handle.read(_LOG_LIMIT), LOG_TAIL_BYTES).replace("\x00", "")
    except OSError:
        return ""


def file_tail(path: Path, limit: int = LOG_TAIL_BYTES) -> str:
    """The last `limit` bytes of a file as text; empty when it cannot be read."""
    try:
        with path.open("rb") as handle:
            handle.seek(0, 2)
            handle.seek(max(0, handle.tell() - limit))
            return handle.read(limit).decode(errors="replace").replace("\x00", "")
    except OSError:
        return ""


def _read(path: Path) -> bytes:
    if path.stat().st_size > _JSON_LIMIT:
        raise OutputsBad(f"{path.name} is larger than {_JSON_LIMIT} bytes")
    return path.read_bytes()
