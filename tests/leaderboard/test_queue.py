"""The queue of record: the transition table, fencing, claims that race, and the reaper's cases."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from evaluator.contract import FailureCode
from leaderboard.accounts.models import User
from leaderboard.benchmarks.models import Release
from leaderboard.core import task_messages
from leaderboard.core.append_only import AppendOnlyError
from leaderboard.core.problems import Conflict, NotAllowed
from leaderboard.methods.models import Submission, SubmissionState
from leaderboard.runs import services
from leaderboard.runs.models import Run
from leaderboard.runs.services import Lease, LeaseLost
from leaderboard.runs.states import ACTIVE, FINAL, TRANSITIONS, RunState
from leaderboard.submissions import inspect
from leaderboard.submissions.create import submission_create
from leaderboard.worker import reaper
from tests.leaderboard.conftest import Submit, digest_make, manifest_make

pytestmark = pytest.mark.django_db


def claim(owner: str = "worker:elsewhere:1") -> Lease:
    lease = services.run_claim(owner=owner, host="elsewhere")
    assert lease is not None
    return lease


def put(run: Run, state: RunState, **fields: Any) -> Run:
    Run.objects.filter(id=run.id).update(state=state, **fields)
    run.refresh_from_db()
    return run


def fall_silent(run: Run) -> None:
    """Its lease is over, and the reaper has seen that a while ago."""
    past = timezone.now() - timedelta(minutes=1)
    Run.objects.filter(id=run.id).update(lease_expires_at=past, suspected_at=past)


def messages_heard(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    heard: list[tuple[str, str]] = []
    monkeypatch.setattr(task_messages, "_send", lambda task, ident: heard.append((task, ident)))
    return heard


# --- the table -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", list(RunState))
@pytest.mark.parametrize("target", list(RunState))
def test_only_what_the_table_allows_happens_and_leaves_one_event(
    queued: Run, source: RunState, target: RunState
) -> None:
    run = put(queued, source)
    before = run.events.count()
    changed = services.run_transition(run_id=run.id, target=target, actor="test", fence=run.fence)
    run.refresh_from_db()
    assert changed == (target in TRANSITIONS[source])
    assert run.state == (target if changed else source)
    assert run.events.count() - before == changed


def test_every_state_is_in_the_table_and_an_end_stays_an_end() -> None:
    assert set(TRANSITIONS) == set(RunState)
    assert ACTIVE | FINAL | {RunState.QUEUED} == set(RunState)
    assert all(not TRANSITIONS[state] & (ACTIVE | FINAL) for state in FINAL)


def test_an_unknown_state_is_refused_by_the_database(queued: Run) -> None:
    from django.db import IntegrityError, transaction

    with pytest.raises(IntegrityError), transaction.atomic():
        Run.objects.filter(id=queued.id).update(state="DONE")


def test_events_are_never_changed_nor_deleted(queued: Run) -> None:
    event = queued.events.get()
    with pytest.raises(AppendOnlyError):
        event.save()
    with pytest.raises(AppendOnlyError):
        event.delete()


# --- leases ----------------------------------------------------------------------------------------------------------


def test_a_late_workers_writes_are_refused(queued: Run) -> None:
    old = claim()
    fall_silent(queued)
    reaper.reap_silent(now=timezone.now())
    new = claim("worker:other:2")
    assert new.fence > old.fence
    with pytest.raises(LeaseLost):
        services.run_heartbeat(lease=old)
    with pytest.raises(LeaseLost):
        services.run_advance(lease=old, target=RunState.MEASURING)
    with pytest.raises(LeaseLost):
        services.run_fail(lease=old, code=FailureCode.METHOD_ERROR)
    services.run_hand_back(lease=old)
    queued.refresh_from_db()
    assert (queued.state, queued.fence, queued.lease_owner) == (RunState.LEASED, new.fence, "worker:other:2")


def test_what_a_method_says_is_stored_without_the_zero_bytes_that_a_database_refuses(queued: Run) -> None:
    lease = claim()
    services.run_heartbeat(lease=lease, stage="unlearn\0ing", message="a\0b")
    queued.refresh_from_db()
    assert (queued.stage, queued.message) == ("unlearning", "ab")
    services.run_fail(lease=lease, code=FailureCode.METHOD_ERROR, detail="Trace\0back", log_tail="lo\0g")
    queued.refresh_from_db()
    assert (queued.state, queued.detail, queued.log_tail) == (RunState.FAILED_METHOD, "Traceback", "log")


def test_a_heartbeat_extends_the_lease_and_carries_a_cancel(queued: Run, user: User) -> None:
    lease = claim()
    Run.objects.filter(id=queued.id).update(lease_expires_at=timezone.now())
    assert services.run_heartbeat(lease=lease, stage="unlearning", fraction=7, message="x" * 999) is False
    queued.refresh_from_db()
    assert queued.lease_expires_at is not None
    assert queued.lease_expires_at > timezone.now() + timedelta(seconds=20)
    assert (queued.fraction, len(queued.message)) == (1.0, 300)
    services.run_cancel(run=queued, user=user)
    assert services.run_heartbeat(lease=lease) is True


def test_the_higher_priority_goes_first_then_the_longer_wait(submit: Submit, public: Release) -> None:
    first, second, third = (submit(public, name=f"m{n}").runs.get() for n in range(3))
    Run.objects.filter(id=third.id).update(priority=10)
    assert [claim().run_id for _ in range(3)] == [third.id, first.id, second.id]
    assert services.run_claim(owner="w", host="h") is None


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_that_race_for_a_run_one_gets_it(queued: Run) -> None:
    got: list[Lease | None] = []
    start = threading.Barrier(6)

    def race(number: int) -> None:
        start.wait()
        try:
            got.append(services.run_claim(owner=f"worker:race:{number}", host="race"))
        finally:
            connection.close()

    threads = [threading.Thread(target=race, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 6
    assert sum(lease is not None for lease in got) == 1
    assert queued.events.filter(to_state=RunState.LEASED).count() == 1


# --- the reaper ------------------------------------------------------------------------------------------------------


def test_a_run_whose_message_was_lost_is_sent_another(
    queued: Run, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    heard = messages_heard(monkeypatch)
    with django_capture_on_commit_callbacks(execute=True):
        assert reaper.reap_never_started(now=timezone.now()) == 0  # its first message is too fresh
        assert reaper.reap_never_started(now=timezone.now() + timedelta(seconds=60)) == 1
        assert reaper.reap_never_started(now=timezone.now() + timedelta(seconds=61)) == 0
    assert heard == [(task_messages.RUN_NEXT, queued.id)]


def test_a_silent_worker_loses_its_run_and_the_third_silence_ends_it(queued: Run) -> None:
    for attempt in (1, 2, 3):
        claim()
        fall_silent(queued)
        assert reaper.reap_silent(now=timezone.now()) == 1
        queued.refresh_from_db()
        assert queued.attempt == attempt
        assert queued.state == (RunState.QUEUED if attempt < 3 else RunState.FAILED_PLATFORM)
        assert queued.needs_sweep
    assert queued.failure_code == "platform_error"


def test_a_fresh_lease_is_left_alone(queued: Run) -> None:
    claim()
    assert reaper.reap() == dict.fromkeys(reaper.reap(), 0)


def test_a_worker_that_died_on_this_host_is_noticed_before_its_lease_ends(queued: Run) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    claim(f"worker:{socket.gethostname()}:{child.pid}")
    assert reaper.reap_silent(now=timezone.now()) == 1


def test_a_living_worker_on_this_host_keeps_its_run(queued: Run) -> None:
    claim(f"worker:{socket.gethostname()}:{os.getpid()}")
    assert reaper.reap_silent(now=timezone.now()) == 0


def test_a_lease_that_looks_old_is_only_suspected_and_a_beat_clears_it(queued: Run, settings: Any) -> None:
    """A clock was set forward: one look must not take a run from a worker that beats."""
    lease, now = claim(), timezone.now()
    for hours in (3, -3):
        later = now + timedelta(hours=hours)
        assert reaper.reap_silent(now=later) == 0
        queued.refresh_from_db()
        assert queued.suspected_at == later
        services.run_heartbeat(lease=lease)
        assert reaper.reap_silent(now=later + timedelta(seconds=settings.RUN_SUSPECT_S + 1)) == 0
        services.run_heartbeat(lease=lease)
    assert reaper.reap_past_deadline() == 0


@pytest.mark.parametrize("hours", [3, -3])
def test_a_worker_that_falls_silent_is_found_wherever_its_clock_stood(queued: Run, settings: Any, hours: int) -> None:
    claim()
    Run.objects.filter(id=queued.id).update(lease_expires_at=timezone.now() + timedelta(hours=hours))
    first = timezone.now()
    assert reaper.reap_silent(now=first) == 0
    assert reaper.reap_silent(now=first + timedelta(seconds=settings.RUN_SUSPECT_S / 2)) == 0
    assert reaper.reap_silent(now=first + timedelta(seconds=settings.RUN_SUSPECT_S + 1)) == 1


def test_what_was_queued_before_the_clock_was_set_back_is_taken_and_notified(
    queued: Run, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    ahead = timezone.now() + timedelta(hours=5)
    Run.objects.filter(id=queued.id).update(queued_at=ahead, notified_at=ahead)
    heard = messages_heard(monkeypatch)
    with django_capture_on_commit_callbacks(execute=True):
        assert reaper.reap_never_started(now=timezone.now()) == 1
    assert heard == [(task_messages.RUN_NEXT, queued.id)]
    assert claim().run_id == queued.id


def test_a_beat_moves_the_deadline_by_the_workers_own_clock(queued: Run) -> None:
    lease = claim()
    services.run_heartbeat(lease=lease, left_s=60)
    queued.refresh_from_db()
    assert queued.deadline_at is not None
    assert abs((queued.deadline_at - timezone.now()).total_seconds() - 60) < 5
    services.run_heartbeat(lease=lease, left_s=-3600)
    assert reaper.reap_past_deadline() == 1


def test_a_cancelled_run_whose_worker_died_ends_as_cancelled(queued: Run, user: User) -> None:
    claim()
    services.run_cancel(run=queued, user=user, reason="changed my mind")
    fall_silent(queued)
    reaper.reap_silent(now=timezone.now())
    queued.refresh_from_db()
    assert (queued.state, queued.reason) == (RunState.CANCELLED, "changed my mind")


def test_a_stuck_worker_that_beats_past_the_deadline_loses_its_run(queued: Run) -> None:
    claim()
    Run.objects.filter(id=queued.id).update(deadline_at=timezone.now() - timedelta(hours=1))
    assert reaper.reap_past_deadline() == 1
    queued.refresh_from_db()
    assert (queued.state, queued.failure_code) == (RunState.TIMED_OUT, "timeout")


def test_what_a_dead_worker_left_is_swept_on_its_host(queued: Run, tmp_path: Path) -> None:
    put(queued, RunState.QUEUED, needs_sweep=True, sweep_host="elsewhere")
    assert reaper.reap_orphans() == 0
    put(queued, RunState.QUEUED, needs_sweep=True, sweep_host=socket.gethostname())
    assert reaper.reap_orphans() == 1
    assert (tmp_path / "sweeps.log").read_text().split() == [queued.id]
    assert reaper.reap_orphans() == 0


def test_a_submission_whose_inspector_died_is_inspected_again(
    user: User, public: Release, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    from leaderboard.submissions.create import submission_create

    submission = submission_create(
        user=user, image=digest_make(), manifest=manifest_make(), releases=[public.slug], tryout=False
    )
    old = timezone.now() - timedelta(hours=1)
    Submission.objects.filter(id=submission.id).update(state=SubmissionState.INSPECTING, updated_at=old)
    heard = messages_heard(monkeypatch)
    with django_capture_on_commit_callbacks(execute=True):
        reaper.reap_uninspected(now=timezone.now())
        reaper.reap_uninspected(now=timezone.now() + timedelta(seconds=60))
    submission.refresh_from_db()
    assert submission.state == SubmissionState.SUBMITTED
    assert heard == [(task_messages.SUBMISSION_INSPECT, submission.id)]


def test_an_inspection_that_beats_is_not_taken_away_however_long_it_takes(
    user: User, public: Release, settings: Any
) -> None:
    """And one whose worker was killed waits a minute, not as long as the largest image may take."""
    submission = submission_create(
        user=user, image=digest_make(), manifest=manifest_make(), releases=[public.slug], tryout=False
    )
    old = timezone.now() - timedelta(seconds=2 * settings.RUN_LEASE_TTL_S + 5)
    Submission.objects.filter(id=submission.id).update(state=SubmissionState.INSPECTING, updated_at=old)
    settings.RUN_HEARTBEAT_S = 0.1
    settings.EVALUATOR_COMMAND = [sys.executable, "-c", "import time; time.sleep(0.5); print('{}')"]
    answer = inspect._inspect(submission)
    assert (answer.code, answer.stdout) == (0, "{}\n")
    reaper.reap_uninspected(now=timezone.now())
    submission.refresh_from_db()
    assert submission.state == SubmissionState.INSPECTING
    reaper.reap_uninspected(now=timezone.now() + timedelta(seconds=2 * settings.RUN_LEASE_TTL_S + 5))
    submission.refresh_from_db()
    assert submission.state == SubmissionState.SUBMITTED


# --- cancel and retry ------------------------------------------------------------------------------------------------


def test_a_waiting_run_is_cancelled_at_once_and_an_ended_one_not_at_all(queued: Run, user: User) -> None:
    assert services.run_cancel(run=queued, user=user).state == RunState.CANCELLED
    with pytest.raises(Conflict, match="has ended already as CANCELLED"):
        services.run_cancel(run=queued, user=user)


def test_nobody_cancels_the_runs_of_others(queued: Run, stranger: User, organiser: User) -> None:
    with pytest.raises(NotAllowed):
        services.run_cancel(run=queued, user=stranger)
    assert services.run_cancel(run=queued, user=organiser).state == RunState.CANCELLED


def test_nobody_retries_on_a_release_that_has_retired(queued: Run, organiser: User) -> None:
    lease = services.run_claim(owner="worker:x:1", host="x")
    assert lease is not None
    services.run_end(run_id=queued.id, target=RunState.FAILED_PLATFORM, actor="test", fence=lease.fence)
    Release.objects.update(state="retired")
    with pytest.raises(Conflict, match="which has retired"):
        services.run_retry(run=Run.objects.get(id=queued.id), user=organiser)


def test_organisers_retry_what_the_platform_failed_and_never_what_the_method_did(queued: Run, organiser: User) -> None:
    for _ in range(5):
        put(queued, RunState.FAILED_PLATFORM, attempt=3)
        run = services.run_retry(run=queued, user=organiser)
        assert (run.state, run.attempt, run.retries) == (RunState.QUEUED, 0, 0)
    put(queued, RunState.TIMED_OUT)
    assert services.run_retry(run=queued, user=organiser).state == RunState.QUEUED
    for state in (RunState.FAILED_METHOD, RunState.SCORED, RunState.CANCELLED, RunState.QUEUED, *ACTIVE):
        put(queued, state)
        with pytest.raises(Conflict):
            services.run_retry(run=queued, user=organiser)


def test_a_submitter_retries_their_own_run_twice_and_only_after_a_failure_of_the_platform(
    queued: Run, user: User, stranger: User, settings: Any
) -> None:
    settings.RUN_SUBMITTER_RETRIES = 2
    put(queued, RunState.FAILED_PLATFORM, attempt=3)
    with pytest.raises(NotAllowed):
        services.run_retry(run=queued, user=stranger)
    for state in RunState:
        if state != RunState.FAILED_PLATFORM:
            put(queued, state)
            with pytest.raises(Conflict):
                services.run_retry(run=queued, user=user)
    for count in (1, 2):
        put(queued, RunState.FAILED_PLATFORM, attempt=3)
        run = services.run_retry(run=queued, user=user)
        assert (run.state, run.attempt, run.retries) == (RunState.QUEUED, 0, count)
    put(queued, RunState.FAILED_PLATFORM, attempt=3)
    with pytest.raises(Conflict, match="was retried 2 times"):
        services.run_retry(run=queued, user=user)
    assert queued.events.filter(actor=f"user:{user.username}", to_state=RunState.QUEUED).count() == 2


def test_a_retried_run_costs_no_quota(queued: Run, user: User) -> None:
    from leaderboard.submissions.checks import quota_left

    before = quota_left(user)
    put(queued, RunState.FAILED_PLATFORM, attempt=3)
    freed = quota_left(user)
    services.run_retry(run=queued, user=user)
    assert before <= quota_left(user) <= freed
