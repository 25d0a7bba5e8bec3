"""A worker without a broker: it finds what waits by itself, and nothing that does not wait."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from leaderboard.accounts.models import User
from leaderboard.benchmarks.models import Release
from leaderboard.boards.models import BoardSnapshot
from leaderboard.methods.models import Submission
from leaderboard.runs.models import Run
from leaderboard.runs.states import RunState
from leaderboard.submissions.create import submission_create
from leaderboard.worker.heartbeat import waits_unheard, work_unnotified
from tests.leaderboard.conftest import digest_make, manifest_make


@pytest.mark.django_db
@pytest.mark.parametrize("seconds", [-3600, 3600 * 5])
def test_only_what_waits_for_longer_than_a_ring_takes_is_unheard(queued: Run, seconds: int) -> None:
    assert not waits_unheard()
    Run.objects.update(queued_at=timezone.now() + timedelta(seconds=seconds))
    assert waits_unheard()
    Run.objects.update(state=RunState.MEASURING)
    assert not waits_unheard()


@pytest.mark.django_db(transaction=True)
def test_a_submission_that_no_doorbell_rang_for_is_inspected_run_and_published(
    user: User, public: Release, settings: Any
) -> None:
    settings.RUN_NOTIFY_AFTER_S = 0
    made = submission_create(
        user=user, image=digest_make(), manifest=manifest_make(), releases=[public.slug], tryout=False
    )
    Submission.objects.filter(id=made.id).update(created_at=timezone.now() - timedelta(minutes=5))
    assert waits_unheard()
    work_unnotified()
    assert Run.objects.get().state == RunState.SCORED
    assert BoardSnapshot.objects.count() == 1
    assert not waits_unheard()
