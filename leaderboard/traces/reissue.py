"""What scored runs show, changed afterwards by the evaluator: opened when their release retires, or withheld as now."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import structlog
from django.conf import settings
from django.core.files.storage import default_storage

from evaluator.contract import Receipt, Scorecard
from leaderboard.audit.services import audit_record, audited
from leaderboard.benchmarks.models import Release, Split
from leaderboard.core.evaluator_process import evaluator_call
from leaderboard.core.locks import lock_hold
from leaderboard.core.task_messages import BOARD_PUBLISH, task_send
from leaderboard.runs.models import Run, Score
from leaderboard.runs.selectors import run_folder
from leaderboard.runs.states import RunState
from leaderboard.traces.models import TraceFile
from leaderboard.traces.store import StoredTrace, trace_discard, trace_fields, trace_store

logger = structlog.get_logger(__name__)


class ReissueFailed(RuntimeError):
    """The evaluator could not change what a run shows; the run is as it was."""


def release_open(*, release: Release, actor: str) -> int:
    """Replace the outcomes of every run of a retired release by its full trace; how many. Done again, it goes on."""
    if not release.is_open:
        raise ValueError(f"release: {release.slug} has not retired; its runs stay sealed")
    waiting = TraceFile.objects.filter(run__release=release, redacted=True).exclude(sealed_path="")
    count = 0
    with lock_hold(f"reissue-{release.slug}"):
        for trace in waiting.select_related("run"):
            with tempfile.TemporaryDirectory(prefix="palimpsest-open-") as name:
                out = Path(name)
                _given(trace.run, out)
                _copied(trace.sealed_path, out / "trace.sealed")
                _evaluator(["open-run", str(out / "trace.sealed")], out)
                stored = trace_store(source=out / "trace.parquet", run_id=trace.run_id, fence=trace.run.fence)
                _take_over(trace, stored, out, actor=actor, action="trace.open")
            count += 1
        if count:
            task_send(BOARD_PUBLISH, release.slug)
    return count


def traces_withhold(*, actor: str) -> int:
    """Seal what older evaluators left of hidden runs, and show outcomes of it; how many. Done again, it goes on."""
    waiting = TraceFile.objects.filter(redacted=True, sealed_path="")
    count = 0
    for release in Release.objects.filter(runs__trace__in=waiting, split=Split.HIDDEN).distinct():
        with lock_hold(f"reissue-{release.slug}"):
            traces = list(waiting.filter(run__release=release).select_related("run"))
            # One kind for all of a board: entries are compared probe by probe, by name.
            complete = all(_complete(trace.run).is_file() for trace in _scored(release))
            for trace in traces:
                with tempfile.TemporaryDirectory(prefix="palimpsest-withhold-") as name:
                    out = Path(name)
                    _given(trace.run, out)
                    source = _complete(trace.run) if complete else _copied(trace.path, out / "trace.parquet")
                    _evaluator(["withhold", str(source)], out)
                    stored = trace_store(
                        source=out / "trace_public.parquet",
                        sealed=out / "trace.sealed",
                        run_id=trace.run_id,
                        fence=trace.run.fence,
                    )
                    _take_over(trace, stored, out, actor=actor, action="trace.withhold")
                count += 1
            if traces:
                task_send(BOARD_PUBLISH, release.slug)
    return count


def _scored(release: Release) -> list[TraceFile]:
    return list(TraceFile.objects.filter(run__release=release, run__state=RunState.SCORED).select_related("run"))


def _complete(run: Run) -> Path:
    """Where the evaluator left the full trace of a run, if this is the host that it ran on."""
    return run_folder(run.id) / "out" / "trace.parquet"


def _given(run: Run, folder: Path) -> None:
    (folder / "given-scorecard.json").write_text(json.dumps(run.scorecard))
    (folder / "given-receipt.json").write_text(json.dumps(run.receipt))


def _copied(stored: str, target: Path) -> Path:
    with default_storage.open(stored, "rb") as source, target.open("wb") as handle:
        shutil.copyfileobj(source, handle)
    return target


def _evaluator(arguments: list[str], out: Path) -> None:
    given = ["--scorecard", str(out / "given-scorecard.json"), "--receipt", str(out / "given-receipt.json")]
    answer = evaluator_call([*arguments, *given, "--out", str(out)], wall_s=settings.RANK_WALL_S)
    if answer.code != 0:
        raise ReissueFailed(f"{arguments[0]} ended with {answer.code}: {answer.stderr.strip()[-1000:]}")


def _take_over(trace: TraceFile, stored: StoredTrace, out: Path, *, actor: str, action: str) -> None:
    """The row, the scores and the receipt follow; the file that was shown before goes."""
    run, before = trace.run, StoredTrace(trace.path, trace.sha256, trace.size, trace.rows, trace.redacted)
    receipt = Receipt.model_validate_json((out / "receipt.json").read_text())
    shown = out / "scorecard.json"
    card = Scorecard.model_validate_json(shown.read_text()) if shown.is_file() else None
    sealed = {} if stored.sealed_path else {"sealed_path": trace.sealed_path, "sealed_sha256": trace.sealed_sha256}
    with audited():
        TraceFile.objects.filter(pk=trace.pk).update(**trace_fields(stored) | sealed)
        fields = {"receipt": receipt.model_dump(mode="json")}
        if card is not None:
            fields["scorecard"] = card.model_dump(mode="json")
            for score in card.scores:
                Score.objects.filter(run=run, key=score.key).update(value=score.value, low=score.low, high=score.high)
        Run.objects.filter(id=run.id).update(**fields)
        audit_record(
            actor=actor,
            action=action,
            target=run,
            before={"trace_sha256": before.sha256},
            after={"trace_sha256": stored.sha256},
        )
    if before.path != stored.path:
        trace_discard(before)
