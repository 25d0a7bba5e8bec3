"""What may be submitted: one's own archive, a tag that is resolved once, and no image twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from leaderboard.accounts.models import User
from leaderboard.benchmarks.models import Release
from leaderboard.core.problems import Duplicate, Refused
from leaderboard.methods.models import Submission, SubmissionState
from leaderboard.submissions.create import submission_create
from leaderboard.submissions.inspect import submission_inspect
from leaderboard.uploads.models import Upload
from leaderboard.uploads.services import upload_finish
from leaderboard.worker import execute as worker
from tests.leaderboard.conftest import digest_make, manifest_make
from tests.leaderboard.uploads.conftest import Tus, archive_make

pytestmark = pytest.mark.django_db
DATA = archive_make()
TAG, OTHER_TAG = "registry.example/me/method:1", "registry.example:5000/me/method:latest"


def submit(user: User, image: str, release: Release, **manifest: Any) -> Submission:
    return submission_create(user=user, image=image, manifest=manifest_make(**manifest), releases=[release.slug])


def inspect(submission: Submission) -> Submission:
    submission_inspect(submission_id=submission.id)
    submission.refresh_from_db()
    return submission


def tags_point(home: Path, **to: int) -> None:
    names = {"first": TAG, "second": OTHER_TAG}
    (home / "tags.json").write_text(json.dumps({names[name]: digest_make(seed) for name, seed in to.items()}))


@pytest.fixture
def archive(tus: Tus) -> str:
    path = tus.send(DATA)
    upload_finish(upload_id=Upload.objects.get().id)
    return str(tus.state(path)["image"])


def test_an_uploaded_archive_is_submitted_and_run(user: User, public: Release, archive: str, tmp_path: Path) -> None:
    submission = inspect(submit(user, archive, public))
    assert submission.state == SubmissionState.ACCEPTED
    assert submission.image == submission.resolved == archive
    assert worker.work_until_empty() == 1
    run = submission.runs.get()
    assert json.loads((tmp_path / "runs" / run.id / "job.json").read_text())["image"] == archive


def test_an_archive_that_is_somebody_elses_cannot_be_submitted(
    user: User, stranger: User, public: Release, archive: str, other: Tus
) -> None:
    with pytest.raises(Refused, match="is not one of your uploads"):
        submit(stranger, archive, public, name="Theirs")
    inspect(submit(user, archive, public))
    image_id = Submission.objects.get().image_id
    with pytest.raises(Refused, match="came here in somebody else's upload"):
        submit(stranger, image_id, public, name="Theirs")
    other.send(DATA)
    upload_finish(upload_id=Upload.objects.get(owner=stranger).id)
    with pytest.raises(Duplicate, match=Submission.objects.get().id):  # known by now, and so is the one it repeats
        submit(stranger, archive, public, name="Theirs")
    assert submit(stranger, archive, public, name="Theirs", hparams={"value": 0.25}).pk, (
        "who has the bytes may submit them"
    )


def test_an_upload_that_is_not_complete_cannot_be_submitted(user: User, public: Release, tus: Tus) -> None:
    path = tus.send(DATA)
    assert tus.state(path)["state"] == "CHECKING"
    with pytest.raises(Refused, match="wait until it is COMPLETE"):
        submit(user, "archive@sha256:" + "a" * 64, public)


def test_a_tag_is_resolved_once_and_the_digest_runs(user: User, public: Release, tmp_path: Path) -> None:
    tags_point(tmp_path, first=7)
    submission = inspect(submit(user, TAG, public))
    assert submission.state == SubmissionState.ACCEPTED
    assert (submission.image, submission.resolved) == (TAG, f"registry.example/me/method@{digest_make(7)}")
    tags_point(tmp_path, first=8)
    worker.work_until_empty()
    job = json.loads((tmp_path / "runs" / submission.runs.get().id / "job.json").read_text())
    assert job["image"] == submission.resolved


def test_two_tags_of_one_digest_are_one_submission(user: User, public: Release, tmp_path: Path) -> None:
    tags_point(tmp_path, first=7, second=7)
    first = inspect(submit(user, TAG, public))
    second = inspect(submit(user, OTHER_TAG, public))
    assert second.state == SubmissionState.REFUSED
    assert first.id in second.problems[0]["problem"]
    with pytest.raises(Duplicate, match=first.id):
        submit(user, f"mirror.example/method@{digest_make(7)}", public)


def test_a_tag_that_moved_is_another_image_and_one_that_did_not_is_none(
    user: User, public: Release, tmp_path: Path
) -> None:
    tags_point(tmp_path, first=7)
    waiting = submit(user, TAG, public)
    with pytest.raises(Duplicate, match=waiting.id):
        submit(user, TAG, public)
    first = inspect(waiting)
    again = inspect(submit(user, TAG, public))
    assert again.state == SubmissionState.REFUSED
    assert first.id in again.problems[0]["problem"]
    tags_point(tmp_path, first=8)
    moved = inspect(submit(user, TAG, public))
    assert moved.state == SubmissionState.ACCEPTED
    assert moved.pk == again.pk, "what was refused is sent again"


def test_the_same_image_by_another_way_is_a_repeat(user: User, public: Release, tmp_path: Path) -> None:
    first = inspect(submit(user, digest_make(7), public))
    Submission.objects.update(digest="")  # as if it had come by an archive: another digest, the same image
    second = inspect(submit(user, f"registry.example/method@{digest_make(7)}", public))
    assert second.state == SubmissionState.REFUSED
    assert first.id in second.problems[0]["problem"]


@pytest.mark.parametrize(
    "image",
    ["latest", "me/method:1", "registry.example/method", "archive@sha256:abc", "registry.example/Me:1", "a.b/c:d\n"],
)
def test_what_names_no_image_is_refused(user: User, public: Release, image: str) -> None:
    with pytest.raises(Refused, match="is not a reference to an image"):
        submit(user, image, public)
