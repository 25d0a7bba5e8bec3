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
from pathlib import Path

import structlog
from django.conf import settings
from django.db import OperationalError
from django.utils import timezone

from evaluator.contract import FailureCode, Job, Limits, Progress, manifest_parse
from leaderboard.core.db import connections_renew
from leaderboard.runs import services
from leaderboard.runs.evaluator import evaluator_call, evaluator_start, group_stop
from leaderboard.runs.ingest import OutputsBad, file_tail, log_tail_read, outputs_take, progress_read
from leaderboard.runs.models import Run
from leaderboard.runs.selectors import run_folder, run_get
from leaderboard.runs.services import Lease, LeaseLost
from leaderboard.runs.slots import slot_take
from leaderboard.runs.states import RunState
from leaderboard.traces.store import TraceRefused

logger = structlog.get_logger(__name__)

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
_INGEST_HOLD_S = 300.0


def worker_name() -> str:
    """Who holds a lease: `worker:host:pid`, so that the reaper can tell at once that a process on its host is gone."""
    return f"worker:{socket.gethostname()}:{os.getpid()}"


def work_until_empty() -> int:
    """Do runs until none is left, this host's slots are taken, or the process shuts down. Returns how many."""
    done = 0
    with slot_take() as free:
        while free and not stopping.is_set():
            connections_renew()
            lease = services.run_claim(owner=worker_name(), host=socket.gethostname())
            if lease is None:
                break
            run_execute(lease)
            done += 1
    return done


def run_execute(lease: Lease) -> None:
    """Do one leased run to its end. Never raises for what a run, an evaluator or a disk can do."""
    log = logger.bind(run=lease.run_id, attempt=lease.attempt)
    try:
        _execute(lease)
    except LeaseLost:
        log.warning("lease lost; left to its new owner")
    except (OutputsBad, TraceRefused, OSError, ValueError) as error:
        log.exception("platform failure")
        try:
            services.run_fail(
                lease=lease,
                code=FailureCode.PLATFORM_ERROR,
                detail=f"{type(error).__name__}: {error}",
                reason="The platform failed; the run is repeated.",
            )
        except LeaseLost:
            log.warning("lease lost; left to its new owner")


def run_sweep(run_id: str) -> bool:
    """Remove what a dead worker may have left of a run on this host: its evaluator and its containers."""
    _leftover_kill(run_folder(run_id))
    answer = evaluator_call(["sweep", "--run", run_id, "--backend", settings.EVALUATOR_BACKEND], wall_s=60)
    if answer.code != 0:
        logger.warning("sweep failed", run=run_id, code=answer.code, stderr=answer.stderr[-500:])
    return answer.code == 0


def _execute(lease: Lease) -> None:
    run = run_get(run_id=lease.run_id)
    folder = run_folder(run.id)
    out_dir = folder / "out"
    if lease.attempt > 1 or run.needs_sweep:
        run_sweep(run.id)
        Run.objects.filter(id=run.id, fence=lease.fence).update(needs_sweep=False)
    job = _job_write(run, folder)
    process = evaluator_start(["run", str(job)], log=folder / "evaluator.log")
    (folder / "evaluator.pid").write_text(str(process.pid))
    try:
        ended_by = _watch(lease, run, process, out_dir)
    except BaseException:
        group_stop(process, grace_s=settings.RUN_KILL_GRACE_S)
        raise
    finally:
        (folder / "evaluator.pid").unlink(missing_ok=True)
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
                if _beat(lease, progress):
                    group_stop(process, grace_s=settings.RUN_KILL_GRACE_S)
                    return "cancel"
        except OperationalError as error:  # a database that is away for a moment is no reason to lose a run
            logger.warning("database away; trying again", run=run.id, error=str(error))
            connections_renew()
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


def _beat(lease: Lease, progress: Progress | None) -> bool:
    if progress is None:
        return services.run_heartbeat(lease=lease, stage="starting")
    return services.run_heartbeat(
        lease=lease, stage=progress.stage, fraction=progress.fraction, message=progress.message
    )


def _settle(lease: Lease, run: Run, ended_by: str, code: int, folder: Path) -> None:
    """From how the process ended to how the run ends."""
    out_dir = folder / "out"
    progress = progress_read(out_dir)
    log_tail = log_tail_read(run, out_dir)
    if ended_by == "cancel":
        reason = Run.objects.get(id=run.id).reason or "Cancelled on request."
        services.run_end(
            run_id=run.id,
            target=RunState.CANCELLED,
            actor=lease.owner,
            fence=lease.fence,
            log_tail=log_tail,
            reason=reason,
        )
    elif ended_by == "shutdown":
        services.run_hand_back(lease=lease)
    elif ended_by == "deadline":
        services.run_fail(
            lease=lease,
            code=FailureCode.TIMEOUT,
            log_tail=log_tail,
            reason=f"The whole run took longer than {settings.RUN_WALL_S:.0f} s.",
        )
    elif code == _EXIT_SCORED:
        services.run_heartbeat(lease=lease, stage="scoring", fraction=1.0, hold_s=_INGEST_HOLD_S)
        outputs = outputs_take(run=run, lease=lease, out_dir=out_dir)
        if Run.objects.filter(id=run.id, fence=lease.fence).exclude(state=RunState.SCORING).exists():
            services.run_advance(lease=lease, target=RunState.SCORING)
        services.run_finish(
            lease=lease,
            scorecard=outputs.scorecard,
            receipt=outputs.receipt,
            trace=outputs.trace,
            log_tail=outputs.log_tail,
        )
        shutil.rmtree(folder / "work", ignore_errors=True)
    elif code == _EXIT_METHOD and progress is not None and progress.failure is not None:
        services.run_fail(lease=lease, code=progress.failure, detail=progress.detail, log_tail=log_tail)
    else:
        said = progress.detail if progress else ""
        services.run_fail(
            lease=lease,
            code=FailureCode.PLATFORM_ERROR,
            detail=f"the evaluator ended with {code}\n{said}\n{file_tail(folder / 'evaluator.log', 8000)}",
            log_tail=log_tail,
            reason="The platform failed; the run is repeated.",
        )


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
    try:
        pid = int((folder / "evaluator.pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (OSError, ValueError):
        return
    if str(folder / "job.json") in command:
        try:
            os.killpg(pid, signal.SIGKILL)
        except OSError:
            pass


def worker_beacon() -> None:
    """Say "I am here" until the process stops: what `/readyz` looks at."""
    from leaderboard.runs.models import Worker

    started = timezone.now()
    while not stopping.is_set():
        try:
            connections_renew()
            fields = {"host": socket.gethostname(), "started_at": started, "seen_at": timezone.now()}
            Worker.objects.update_or_create(name=worker_name(), defaults=fields)
        except OperationalError as error:
            logger.warning("database away", error=str(error))
        stopping.wait(settings.WORKER_SILENT_S / 6)
