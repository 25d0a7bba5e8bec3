"""What the site's tests stand on: people, releases, submissions, and an evaluator process that keeps the protocol."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from leaderboard.accounts.models import User
from leaderboard.benchmarks.models import Release
from leaderboard.methods.models import Submission, SubmissionState
from leaderboard.runs.models import Run
from leaderboard.submissions.create import submission_create
from leaderboard.submissions.inspect import submission_inspect
from leaderboard.worker import execute as worker

PROTOCOL = Path(__file__).with_name("protocol_evaluator.py")


@pytest.fixture(autouse=True)
def _site(settings: Any, tmp_path: Path) -> None:
    """Every test has a data folder of its own and fast clocks."""
    settings.PALIMPSEST_HOME = tmp_path
    settings.EVALUATOR_COMMAND = [sys.executable, str(PROTOCOL)]
    settings.RUN_POLL_S = 0.02
    settings.RUN_KILL_GRACE_S = 1.0
    settings.RUN_HEARTBEAT_S = 0.1
    settings.STORAGES = settings.STORAGES | {
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "media")},
        }
    }
    worker.stopping.clear()


@pytest.fixture
def user(db: None) -> User:
    return User.objects.create_user("ada", password="correct horse battery")


@pytest.fixture
def stranger(db: None) -> User:
    return User.objects.create_user("bob", password="correct horse battery")


@pytest.fixture
def organiser(db: None) -> User:
    return User.objects.create_user("olga", password="correct horse battery", is_staff=True, is_superuser=True)


def release_make(slug: str, split: str) -> Release:
    return Release.objects.create(
        slug=slug,
        benchmark="toy-world",
        title=slug,
        track="pretrained",
        split=split,
        size=5,
        version="1",
        base_name="toy-llama",
        base_sha256="b" * 64,
        content_sha256="c" * 64,
        probe_counts={"verbatim": 5},
        n_subjects=5,
        licence="CC0-1.0",
        sources=["own"],
        built_at="2026-01-01T00:00:00Z",
    )


@pytest.fixture
def hidden(db: None) -> Release:
    return release_make("toy-world-5", "hidden")


@pytest.fixture
def public(db: None) -> Release:
    return release_make("toy-world-5-public", "public")


def manifest_make(**changes: Any) -> dict[str, Any]:
    hparams = changes.pop("hparams", {})
    base = {
        "contract": 1,
        "name": "Gradient difference",
        "version": "1",
        "kind": "unlearning",
        "division": "weights",
        "authors": ["A. Author"],
        "licence": "Apache-2.0",
        "hparams": hparams,
    }
    return base | changes


def digest_make(seed: int = 1) -> str:
    return f"sha256:{seed:064x}"


Submit = Callable[..., Submission]


@pytest.fixture
def submit(user: User) -> Submit:
    """Submit and inspect: gives the submission as the inspection left it."""
    count = 0

    def go(*releases: Release, by: User | None = None, tryout: bool = False, **manifest: Any) -> Submission:
        nonlocal count
        count += 1
        n_seeds = manifest.pop("n_seeds", 1)
        if manifest.get("kind") == "control" and by is None:
            by, _ = User.objects.get_or_create(username="controller", is_staff=True)
        submission = submission_create(
            user=by or user,
            image=digest_make(count),
            manifest=manifest_make(**manifest),
            releases=[release.slug for release in releases],
            tryout=tryout,
            n_seeds=n_seeds,
        )
        submission_inspect(submission_id=submission.id)
        submission.refresh_from_db()
        return submission

    return go


@pytest.fixture
def queued(submit: Submit, public: Release) -> Run:
    """A run that waits for a worker."""
    submission = submit(public)
    assert submission.state == SubmissionState.ACCEPTED
    run = submission.runs.get()
    Run.objects.filter(id=run.id).update(queued_at=timezone.now())
    return run
