"""The worker, with a real child process: how each end of an evaluation becomes an end of the run."""

from __future__ import annotations

import json
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from structlog.testing import capture_logs

from leaderboard.benchmarks.models import Release
from leaderboard.runs import services
from leaderboard.runs.models import Run
from leaderboard.runs.states import RunState
from leaderboard.traces.selectors import trace_open
from leaderboard.worker import execute as worker
from leaderboard.worker import reaper
from leaderboard.worker.finish import run_finish
from tests.leaderboard.conftest import Submit

pytestmark = pytest.mark.django_db


def states_of(run: Run) -> list[str]:
    return [event.to_state for event in run.events.all()]


def test_a_good_run_goes_through_every_stage_and_is_scored(queued: Run, tmp_path: Path) -> None:
    assert worker.work_until_empty() == 1
    queued.refresh_from_db()
    assert queued.state == RunState.SCORED
    assert states_of(queued)[:2] == ["QUEUED", "LEASED"]
    assert states_of(queued)[-2:] == ["SCORING", "SCORED"]
    assert {score.key for score in queued.scores.all()} == {"overall", "forgetting", "unlearn_wall_s"}
    assert queued.log_tail == "the method says hello\n"
    with trace_open(queued.trace) as stored:
        assert stored.read() == (tmp_path / "runs" / queued.id / "out" / "trace.parquet").read_bytes()
    job = json.loads((tmp_path / "runs" / queued.id / "job.json").read_text())
    assert job["run_id"] == queued.id
    assert job["release"] == "toy-world-5-public"


@pytest.fixture
def real_evaluator(settings: Any) -> None:
    settings.EVALUATOR_COMMAND = [sys.executable, "-m", "evaluator"]


def test_a_worker_whose_backend_cannot_run_here_says_what_is_missing(
    real_evaluator: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere.example:2375")
    for backend, said in (("docker", "docker"), ("no-such", "is not known"), ("process", "")):
        settings.EVALUATOR_BACKEND = backend
        with capture_logs() as logs:
            assert worker.backend_check() is (backend == "process")
        assert said in "".join(entry["missing"] for entry in logs).lower()
        assert {entry["log_level"] for entry in logs} <= {"error"}


@pytest.mark.parametrize(
    ("behaviour", "state", "code"),
    [
        ("method-error-unlearning", RunState.FAILED_METHOD, "method_error"),
        ("method-error-measuring", RunState.FAILED_METHOD, "method_error"),
        ("timeout-unlearning", RunState.TIMED_OUT, "timeout"),
        ("platform-error-measuring", RunState.QUEUED, ""),
        ("crash-measuring", RunState.QUEUED, ""),
        ("no-outputs", RunState.QUEUED, ""),
    ],
)
def test_each_end_of_the_evaluator_has_its_state(
    submit: Submit, public: Release, behaviour: str, state: RunState, code: str
) -> None:
    run = submit(public, hparams={"behaviour": behaviour}).runs.get()
    worker.work_until_empty()
    run.refresh_from_db()
    assert (run.state, run.failure_code, run.attempt) == (state, code, 1)
    assert not run.scores.exists()


def test_a_platform_failure_is_repeated_at_most_three_times(submit: Submit, public: Release) -> None:
    run = submit(public, hparams={"behaviour": "platform-error-measuring"}).runs.get()
    for _ in range(5):
        Run.objects.filter(state=RunState.QUEUED).update(queued_at=run.created_at)  # skip the back-off
        worker.work_until_empty()
    run.refresh_from_db()
    assert (run.state, run.failure_code, run.attempt) == (RunState.FAILED_PLATFORM, "platform_error", 3)
    assert "disk full" in run.detail


def test_a_stage_that_was_done_is_not_done_again(submit: Submit, public: Release, tmp_path: Path) -> None:
    run = submit(public, hparams={"behaviour": "crash-measuring"}).runs.get()
    for _ in range(2):
        Run.objects.filter(state=RunState.QUEUED).update(queued_at=run.created_at)
        worker.work_until_empty()
    assert (tmp_path / "runs" / run.id / "work" / "journal").read_text().split() == ["unlearning", *["measuring"] * 2]


def test_the_full_trace_of_a_hidden_run_is_never_stored(submit: Submit, hidden: Release) -> None:
    good = submit(hidden).runs.get()
    leaky = submit(hidden, name="Other", hparams={"behaviour": "leaky-trace"}).runs.get()
    worker.work_until_empty()
    good.refresh_from_db()
    leaky.refresh_from_db()
    assert good.state == RunState.SCORED
    assert good.trace.redacted
    assert leaky.state == RunState.QUEUED  # a fault of the platform: nothing stored
    assert "not withheld" in leaky.detail
    assert not hasattr(leaky, "trace")


def test_the_scorecard_of_a_fast_run_is_not_taken(submit: Submit, public: Release) -> None:
    run = submit(public, hparams={"behaviour": "fast"}).runs.get()
    worker.work_until_empty()
    run.refresh_from_db()
    assert run.state == RunState.QUEUED and "scorecard.fast: run" in run.detail
    assert not run.scores.exists() and not run.receipt and not hasattr(run, "trace")


@pytest.mark.parametrize("behaviour", ["ok", "ignore-sigterm"])
def test_a_cancel_stops_the_process_group(
    submit: Submit, public: Release, user: Any, behaviour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = submit(public, hparams={"behaviour": behaviour, "stage_s": 60}).runs.get()
    original = services.run_advance

    def advance_then_cancel(**kwargs: Any) -> None:
        original(**kwargs)
        run.refresh_from_db()
        services.run_cancel(run=run, user=user)

    monkeypatch.setattr(services, "run_advance", advance_then_cancel)
    started = time.monotonic()
    worker.work_until_empty()
    assert time.monotonic() - started < 10
    run.refresh_from_db()
    assert (run.state, run.reason) == (RunState.CANCELLED, "Cancelled on request.")


def test_the_deadline_of_a_run_is_real(submit: Submit, public: Release, settings: Any) -> None:
    settings.RUN_WALL_S = 0.5
    run = submit(public, hparams={"stage_s": 60}).runs.get()
    worker.work_until_empty()
    run.refresh_from_db()
    assert (run.state, run.failure_code) == (RunState.TIMED_OUT, "timeout")


def test_a_worker_that_is_stopped_hands_its_run_back(submit: Submit, public: Release) -> None:
    run = submit(public, hparams={"stage_s": 60}).runs.get()
    threading.Timer(1.0, worker.stopping.set).start()
    worker.work_until_empty()
    run.refresh_from_db()
    assert (run.state, run.attempt) == (RunState.QUEUED, 0)
    assert [event.note for event in run.events.all()][-1] == "the worker was stopped"


def test_a_late_worker_notices_that_its_run_was_taken(
    submit: Submit, public: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = submit(public, hparams={"stage_s": 60}).runs.get()
    original = services.run_advance

    long_ago = run.created_at - timedelta(hours=1)

    def advance_then_lose(**kwargs: Any) -> None:
        original(**kwargs)
        Run.objects.filter(id=run.id).update(lease_expires_at=long_ago, suspected_at=long_ago)
        reaper.reap()

    monkeypatch.setattr(services, "run_advance", advance_then_lose)
    lease = services.run_claim(owner=worker.worker_name(), host="h")
    assert lease is not None
    worker.run_execute(lease)
    run.refresh_from_db()
    assert run.state == RunState.QUEUED
    assert states_of(run) == ["QUEUED", "LEASED", "UNLEARNING", "QUEUED"]


def files_of(tmp_path: Path) -> list[str]:
    return [str(path.relative_to(tmp_path / "media")) for path in (tmp_path / "media").rglob("*.parquet")]


def test_a_commit_whose_answer_got_lost_is_done_once(
    queued: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The connection broke after the server had committed: the worker cannot know, asks again, and changes nothing."""
    lost: list[Run] = []

    def finish_and_lose(**kwargs: Any) -> Run:
        run = run_finish(**kwargs)
        if not lost:
            lost.append(run)
            raise OperationalError("server closed the connection unexpectedly")
        return run

    monkeypatch.setattr(worker, "run_finish", finish_and_lose)
    worker.work_until_empty()
    queued.refresh_from_db()
    assert len(lost) == 1
    assert (queued.state, queued.attempt) == (RunState.SCORED, 1)
    assert states_of(queued).count("SCORED") == 1
    assert files_of(tmp_path) == [queued.trace.path]
    assert not (tmp_path / "runs" / queued.id / "work").exists()


def test_an_ingest_that_comes_too_late_leaves_no_file_and_one_that_died_leaves_none_either(
    queued: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    once: list[bool] = []

    def lose_the_run_first(**kwargs: Any) -> Run:
        if not once:
            once.append(True)
            Run.objects.filter(id=queued.id).update(lease_expires_at=queued.created_at, suspected_at=long_ago)
            assert reaper.reap_silent(now=timezone.now()) == 1
        return run_finish(**kwargs)

    long_ago = queued.created_at - timedelta(hours=1)
    monkeypatch.setattr(worker, "run_finish", lose_the_run_first)
    lease = services.run_claim(owner=worker.worker_name(), host="h")
    assert lease is not None
    worker.run_execute(lease)
    queued.refresh_from_db()
    assert queued.state == RunState.QUEUED
    assert files_of(tmp_path) == []
    half = tmp_path / "media" / "traces" / queued.id / "7-killedwhilewriting.parquet"
    half.parent.mkdir(parents=True, exist_ok=True)
    half.write_bytes(b"PAR1")
    assert worker.work_until_empty() == 1
    queued.refresh_from_db()
    assert queued.state == RunState.SCORED
    assert files_of(tmp_path) == [queued.trace.path]


def test_a_database_that_stays_away_for_too_long_leaves_the_run_to_the_reaper(
    queued: Run, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.DATABASE_PATIENCE_S = 0.3

    def away(**_: Any) -> Run:
        raise OperationalError("the database system is starting up")

    monkeypatch.setattr(worker, "run_finish", away)
    assert worker.work_until_empty() == 1  # the worker is alive
    queued.refresh_from_db()
    assert queued.state == RunState.SCORING


def test_a_worker_without_room_takes_no_run_until_there_is_some(queued: Run, settings: Any) -> None:
    settings.DISK_FREE_MIN_MB = 10**9
    assert worker.work_until_empty() == 0
    queued.refresh_from_db()
    assert (queued.state, queued.attempt) == (RunState.QUEUED, 0)
    settings.DISK_FREE_MIN_MB = 1
    assert worker.work_until_empty() == 1


def test_only_one_run_at_a_time_on_a_host(queued: Run) -> None:
    from leaderboard.worker.capacity import slot_take

    with slot_take() as mine:
        assert mine
        assert worker.work_until_empty() == 0
    assert worker.work_until_empty() == 1
