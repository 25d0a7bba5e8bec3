"""What a run printed and why it failed, for those who may read it; a look at a hidden run is recorded first."""

from __future__ import annotations

from dataclasses import dataclass

from evaluator.contract import log_read
from leaderboard.accounts.viewers import Viewer
from leaderboard.audit.services import actor_of, audit_record
from leaderboard.runs.models import Run
from leaderboard.runs.policies import may_look, sees_details
from leaderboard.runs.selectors import run_folder


@dataclass(frozen=True)
class RunOutput:
    """`text` of the container's log, the `offset` to ask from next time (in bytes ever written), and why it failed."""

    text: str = ""
    offset: int = 0
    detail: str = ""


def run_output(run: Run, viewer: Viewer, *, offset: int = 0, limit: int = 65_536) -> RunOutput:
    """The log from byte `offset`, and the detail; empty for who may not read them.

    On an open release that is its submitter and organisers. On a hidden one organisers only, and the entry in the audit
    log is written before a byte is read: without it there is no look.
    """
    if may_look(viewer, run):
        audit_record(actor=actor_of(viewer), action="run.look", target=run, after={"offset": offset})
    elif not sees_details(viewer, run):
        return RunOutput()
    text, following = _log(run, offset, limit)
    return RunOutput(text, following, run.detail)


def _log(run: Run, offset: int, limit: int) -> tuple[str, int]:
    """While the run goes on, from the evaluator's output folder (embedded: same machine); then from the row."""
    path = run_folder(run.id) / "out" / "run.log"
    data = run.log_tail.encode(errors="replace") if run.is_final or not path.is_file() else path.read_bytes()
    return log_read(data, offset, limit)
