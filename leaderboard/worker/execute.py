"""The worker: claims the next run, has the evaluator do it in a process of its own, and takes in what it leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog
from django.conf import settings

from evaluator.contract import FailureCode, Job, Limits, Progress, manifest_parse
from leaderboard.core.db import DATABASE_AWAY, connections_renew, database_retry
from leaderboard.core.evaluator_process import evaluator_call, evaluator_start, group_stop
from leaderboard.runs import services
from leaderboard.runs.models import Run
from leaderboard.runs.selectors import run_folder, run_get
from leaderboard.runs.services import Lease, LeaseLost
from leaderboard.runs.states import RunState
from leaderboard.traces.store import TraceRefused, trace_discard, traces_prune
from leaderboard.worker.capacity import room_left, slot_take
from leaderboard.worker.finish import run_finish
from leaderboard.worker.ingest import OutputsBad, file_tail, log_tail_read, outputs_take, progress_read

logger = structlog.get_logger(__name__)

T = TypeVar("T")

#: Set when this process was asked to shut down: runs are handed back instead of finished.
stopping = threading.Event()

_STATE_OF_STAGE = {
    "unlearning": RunState.UNLEARNING,
    "sealing": RunState.UNLEARNING,
    "measuring": RunState.MEASURING,
    "scoring": RunState.SCORING,
    "done": RunState.SCORING,
}
_ORDER = [RunState.LEASED, RunState.UNLEARNING, RunState.MEASURING, RunState.SCORING]
_EXIT_SCORED, _EXIT_METHOD = 0, 3


def worker_name() -> str:
    """Who holds a lease: `worker:host:pid`, so that the reaper can tell at once that a process on its host is gone."""
    return f"worker:{socket.gethostname()}:{os.getpid()}"


def work_until_empty() -> int:
    """Do runs until none is left, this host's slots are taken, or the process shuts down. Returns how many."""
    done = 0
    with slot_take() as free:
        while free and not stopping.is_set() and room_left():
            connections_renew()
            try:
                lease = services.run_claim(owner=worker_name(), host=socket.gethostname())
            except DATABASE_AWAY as error:  # nothing is in this worker's hands; it is sent again
                logger.warning("database away; no run taken", error=str(error).strip())
                break
            if lease is None:
                break
            run_execute(lease)
            done += 1
    return done


def run_execute(lease: Lease) -> None:
    """Do one leased run to its end. Never raises for what a run, an evaluator, a disk or a database can do."""
    log = logger.bind(run=lease.run_id, attempt=lease.attempt)
    try:
        try:
            _execute(lease)
        except (OutputsBad, TraceRefused, OSError, ValueError) as error:
            log.exception("platform failure")
            _platform_failed(lease, f"{type(error).__name__}: {error}")
    except LeaseLost:
        log.warning("lease lost; left to its new owner")
    except DATABASE_AWAY as error:
        log.error("database away for too long; the reaper repeats the run", error=str(error).strip())


def _patient(call: Callable[[], T]) -> T:
    return database_retry(call, patience_s=settings.DATABASE_PATIENCE_S, stop=stopping)


def _platform_failed(lease: Lease, detail: str, log_tail: str = "") -> None:
    reason = "The platform failed; the run is repeated."
    code = FailureCode.PLATFORM_ERROR
    _patient(lambda: services.run_fail(lease=lease, code=code, detail=detail, log_tail=log_tail, reason=reason))


def backend_check() -> bool:
    """Whether this machine can run methods as it is set to; if not, the log says what is missing, a line each."""
    name = settings.EVALUATOR_BACKEND
    answer = evaluator_call(["doctor", "--backend", name, "--json"], wall_s=60)
    try:
        missing = json.loads(answer.stdout)[name]
    except (ValueError, LookupError):
        missing = [answer.stderr.strip()[-500:] or "the evaluator gave no answer within a minute"]
    for sentence in missing:
        logger.error("this worker cannot run methods", backend=name, missing=sentence)
    return not missing


def run_sweep(run_id: str) -> bool:
    """Remove what a dead worker may have left of a run on this host: its evaluator and its containers."""
    _leftover_kill(run_folder(run_id))
    answer = evaluator_call(["sweep", "--run", run_id, "--backend", settings.EVALUATOR_BACKEND], wall_s=60)
    if answer.code != 0:
        logger.warning("sweep failed", run=run_id, code=answer.code, stderr=answer.stderr[-500:])
    return answer.code == 0


def _execute(lease: Lease) -> None:
    run = _patient(lambda: run_get(run_id=lease.run_id))
    folder = run_folder(run.id)
    if lease.attempt > 1 or run.needs_sweep:
        run_sweep(run.id)
        _patient(lambda: Run.objects.filter(id=run.id, fence=lease.fence).update(needs_sweep=False))
    _patient(lambda: services.run_heartbeat(lease=lease, stage="starting"))  # still ours, before its folder changes
    job = _job_write(run, folder)
    process = evaluator_start(["run", str(job)], log=folder / "evaluator.log")
    pid_file = folder / "evaluator.pid"
    try:
        pid_file.write_text(str(process.pid))
        ended_by = _watch(lease, run, process, folder / "out")
    except BaseException:
        group_stop(process, grace_s=settings.RUN_KILL_GRACE_S)
        raise
    finally:
        if _pid_read(pid_file) in (process.pid, None):  # the folder may have a new owner by now
            pid_file.unlink(missing_ok=True)
    _settle(lease, run, ended_by, process.returncode, folder)


def _watch(lease: Lease, run: Run, process: subprocess.Popen[bytes], out_dir: Path) -> str:
    """Follow the process: progress to states, heartbeats, cancel, deadline. Returns what ended it."""
    state = RunState.LEASED
    next_beat = 0.0
    deadline = time.monotonic() + settings.RUN_WALL_S
    while process.poll() is None:
        progress = progress_read(out_dir)
        reached = _STATE_OF_STAGE.get(progress.stage, RunState.LEASED) if progress else RunState.LEASED
        try:
            if _ORDER.index(reached) > _ORDER.index(state):
                services.run_advance(lease=lease, target=reached)
                state, next_beat = reached, 0.0
            if time.monotonic() >= next_beat:
                next_beat = time.monotonic() + settings.RUN_HEARTBEAT_S
                if _beat(lease, progress, left_s=deadline - time.monotonic()):
                    group_stop(process, grace_s=settings.RUN_KILL_GRACE_S)
                    return "cancel"
        except DATABASE_AWAY as error:  # a database that is away for a moment is no reason to lose a run
            logger.warning("database away; the run goes on", run=run.id, error=str(error).strip())
            connections_renew()
            next_beat = time.monotonic() + min(1.0, settings.RUN_HEARTBEAT_S)
        if time.monotonic() >= deadline:
            group_stop(process, grace_s=settings.RUN_KILL_GRACE_S)
            return "deadline"
        if stopping.is_set():
            group_stop(process, grace_s=settings.RUN_KILL_GRACE_S)
            return "shutdown"
        try:
            process.wait(timeout=settings.RUN_POLL_S)
        except subprocess.TimeoutExpired:
            pass
    group_stop(process, grace_s=0)  # children that outlived their leader
    return "exit"


def _beat(lease: Lease, progress: Progress | None, *, left_s: float) -> bool:
    if progress is None:
        return services.run_heartbeat(lease=lease, stage="starting", left_s=left_s)
    return services.run_heartbeat(
        lease=lease, stage=progress.stage, fraction=progress.fraction, message=progress.message, left_s=left_s
    )


def _settle(lease: Lease, run: Run, ended_by: str, code: int, folder: Path) -> None:
    """From how the process ended to how the run ends; what was done is held on to while the database is away."""
    out_dir = folder / "out"
    progress = progress_read(out_dir)
    log_tail = log_tail_read(out_dir)
    if ended_by == "cancel":
        _patient(lambda: _cancelled(lease, log_tail))
    elif ended_by == "shutdown":
        services.run_hand_back(lease=lease)
    elif ended_by == "deadline":
        reason = f"The whole run took longer than {settings.RUN_WALL_S:.0f} s."
        _patient(lambda: services.run_fail(lease=lease, code=FailureCode.TIMEOUT, log_tail=log_tail, reason=reason))
    elif code == _EXIT_SCORED:
        _ingest(lease, run, folder)
    elif code == _EXIT_METHOD and progress is not None and progress.failure is not None:
        failure, detail = progress.failure, progress.detail
        _patient(lambda: services.run_fail(lease=lease, code=failure, detail=detail, log_tail=log_tail))
    else:
        said = progress.detail if progress else ""
        detail = f"the evaluator ended with {code}\n{said}\n{file_tail(folder / 'evaluator.log', 8000)}"
        _platform_failed(lease, detail, log_tail)


def _cancelled(lease: Lease, log_tail: str) -> None:
    reason = Run.objects.get(id=lease.run_id).reason or "Cancelled on request."
    services.run_end(
        run_id=lease.run_id,
        target=RunState.CANCELLED,
        actor=lease.owner,
        fence=lease.fence,
        log_tail=log_tail,
        reason=reason,
    )


def _ingest(lease: Lease, run: Run, folder: Path) -> None:
    """Take in what a scored run left. A trace that no row points to in the end is removed again."""
    _patient(lambda: services.run_heartbeat(lease=lease, stage="scoring", fraction=1.0, hold_s=services.INGEST_HOLD_S))
    outputs = outputs_take(run=run, lease=lease, out_dir=folder / "out")
    try:
        _patient(lambda: services.run_advance(lease=lease, target=RunState.SCORING))
        _patient(
            lambda: run_finish(
                lease=lease,
                scorecard=outputs.scorecard,
                receipt=outputs.receipt,
                seconds=outputs.seconds,
                trace=outputs.trace,
                log_tail=outputs.log_tail,
            )
        )
    except LeaseLost:
        trace_discard(outputs.trace)
        raise
    traces_prune(run_id=run.id, keep=outputs.trace)
    shutil.rmtree(folder / "work", ignore_errors=True)


def _job_write(run: Run, folder: Path) -> Path:
    """Write `job.json`. The work folder stays from an earlier attempt: what is done there is not done again."""
    work_dir, out_dir = folder / "work", folder / "out"
    for path in (work_dir, out_dir):
        path.mkdir(parents=True, exist_ok=True)
    (out_dir / "progress.json").unlink(missing_ok=True)  # an earlier attempt's
    job = Job(
        run_id=run.id,
        release=run.release.slug,
        image=run.submission.resolved,  # by what a host that does not have it can get it
        manifest=manifest_parse(run.submission.manifest),
        seed=run.seed,
        threads=settings.EVALUATOR_THREADS,
        backend=settings.EVALUATOR_BACKEND,
        limits=Limits(**settings.EVALUATOR_LIMITS),
        work_dir=work_dir,
        out_dir=out_dir,
    )
    path = folder / "job.json"
    draft = folder / ".job.json.new"
    draft.write_text(json.dumps(job.model_dump(mode="json"), indent=1))
    draft.replace(path)
    return path


def _leftover_kill(folder: Path) -> None:
    """Kill the evaluator of a dead worker, if it still is that process (ids are used again)."""
    pid = _pid_read(folder / "evaluator.pid")
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace") if pid else ""
    except OSError:
        return
    if pid and str(folder / "job.json") in command:
        try:
            os.killpg(pid, signal.SIGKILL)
        except OSError:
            pass


def _pid_read(path: Path) -> int | None:
    """The process of an `evaluator.pid`; None without one that can be read."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
