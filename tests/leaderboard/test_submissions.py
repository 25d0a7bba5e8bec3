"""From a submission to its runs: every problem at once, duplicates, quotas, inspection, the try-out that goes first."""

from __future__ import annotations

from typing import Any

import pytest

from leaderboard.accounts.models import User
from leaderboard.audit.models import AuditEntry
from leaderboard.benchmarks.models import Release
from leaderboard.core.problems import Duplicate, QuotaSpent, Refused
from leaderboard.methods.models import Method, Submission, SubmissionState
from leaderboard.methods.services import method_register
from leaderboard.runs import services
from leaderboard.runs.models import Run
from leaderboard.runs.states import RunState
from leaderboard.submissions.create import submission_create
from leaderboard.submissions.inspect import submission_inspect
from leaderboard.submissions.withdraw import submission_withdraw
from leaderboard.worker import execute as worker
from tests.leaderboard.conftest import Submit, digest_make, manifest_make

pytestmark = pytest.mark.django_db


def fields_of(error: pytest.ExceptionInfo[Refused]) -> list[str]:
    return [problem["field"] for problem in error.value.problems]


def test_every_problem_is_named_at_once_and_nothing_is_stored(user: User, hidden: Release) -> None:
    manifest = manifest_make(contract=2, colour="red", run={"need": ["retain"]})
    with pytest.raises(Refused) as error:
        submission_create(
            user=user,
            image="me/method:latest",
            manifest=manifest,
            releases=["toy-wrld-5"],
            n_seeds=0,
            method="no-such",
        )
    assert fields_of(error) == [
        "manifest.contract",
        "manifest.run.need",
        "manifest.colour",
        "image",
        "releases",
        "n_seeds",
        "method",
    ]
    remedies = {problem["field"]: problem["remedy"] for problem in error.value.problems}
    assert "toy-world-5" in remedies["releases"]
    assert "needs" in remedies["manifest.run.need"]
    assert "sha256:<64 hex digits>" in remedies["image"]
    assert not Submission.objects.exists()
    assert not Method.objects.exists()


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_text_that_no_database_stores_is_refused(user: User, hidden: Release, text: str) -> None:
    with pytest.raises(Refused) as error:
        submission_create(
            user=user, image=digest_make(), manifest=manifest_make(hparams={"x": [text]}), releases=[hidden.slug]
        )
    assert fields_of(error) == ["manifest.hparams.x.0"]


def test_a_base_that_the_manifest_rules_out_is_refused(user: User, hidden: Release) -> None:
    manifest = manifest_make(run={"base": ["a" * 64]})
    with pytest.raises(Refused) as error:
        submission_create(user=user, image=digest_make(), manifest=manifest, releases=[hidden.slug])
    assert fields_of(error) == ["manifest.run.base"]
    assert hidden.base_sha256 in error.value.problems[0]["remedy"]


def test_a_retired_release_takes_no_submissions(user: User, hidden: Release) -> None:
    Release.objects.update(state="retired")
    with pytest.raises(Refused, match="has retired"):
        submission_create(user=user, image=digest_make(), manifest=manifest_make(), releases=[hidden.slug])


def test_the_same_digest_and_manifest_twice_names_the_earlier_submission(
    user: User, stranger: User, hidden: Release
) -> None:
    first = submission_create(user=user, image=digest_make(), manifest=manifest_make(), releases=[hidden.slug])
    with pytest.raises(Duplicate, match=first.id):
        submission_create(user=user, image=digest_make(), manifest=manifest_make(), releases=[hidden.slug])
    with pytest.raises(Duplicate, match="a method of ada"):
        submission_create(user=stranger, image=digest_make(), manifest=manifest_make(), releases=[hidden.slug])
    changed = manifest_make(hparams={"steps": 2})
    assert submission_create(user=user, image=digest_make(), manifest=changed, releases=[hidden.slug]).pk != first.pk


def test_an_accepted_submission_sent_again_to_a_further_release_gets_its_run_there(
    user: User, submit: Submit, hidden: Release, public: Release
) -> None:
    first = submit(public)
    again: dict[str, Any] = {"user": user, "image": first.image, "manifest": first.manifest}
    with pytest.raises(Duplicate, match=first.id):
        submission_create(**again, releases=[public.slug])
    extended = submission_create(**again, releases=[hidden.slug])
    assert extended.pk == first.pk
    assert {release.slug for release in first.releases.all()} == {public.slug, hidden.slug}
    assert sorted(first.runs.values_list("release__slug", flat=True)) == sorted([public.slug, hidden.slug])
    assert AuditEntry.objects.get(action="submission.extend").after["releases"].count(",") == 1
    with pytest.raises(Duplicate, match=first.id):
        submission_create(**again, releases=[hidden.slug])


def test_the_quota_counts_a_day_and_forgives_what_the_platform_failed(
    submit: Submit, public: Release, settings: Any
) -> None:
    settings.SUBMISSIONS_PER_DAY = 2
    first = submit(public, name="a")
    submit(public, name="b")
    with pytest.raises(QuotaSpent, match="2 in 24 hours"):
        submit(public, name="c")
    first.runs.update(state=RunState.FAILED_PLATFORM)
    submit(public, name="c")


def test_an_accepted_submission_gets_its_runs_and_a_refused_one_none(
    user: User, submit: Submit, public: Release
) -> None:
    good = submit(public, n_seeds=2)
    assert good.state == SubmissionState.ACCEPTED
    assert good.image_id == digest_make(1)
    assert sorted(good.runs.values_list("seed", flat=True)) == sorted(good.seeds)
    assert len(set(good.seeds)) == 2
    bad = submission_create(
        user=user, image="sha256:" + "0" * 64, manifest=manifest_make(name="Bad"), releases=[public.slug]
    )
    submission_inspect(submission_id=bad.id)
    bad.refresh_from_db()
    assert bad.state == SubmissionState.REFUSED
    assert bad.problems[0]["field"] == "image.user"
    assert not bad.runs.exists()


def test_a_refused_digest_may_be_sent_again(user: User, public: Release) -> None:
    def send() -> Submission:
        image = "sha256:" + "0" * 64
        return submission_create(user=user, image=image, manifest=manifest_make(), releases=[public.slug])

    first = send()
    submission_inspect(submission_id=first.id)
    assert send().pk == first.pk


def test_an_inspection_that_the_platform_fails_is_tried_three_times(user: User, public: Release) -> None:
    manifest = manifest_make(hparams={"behaviour": "inspect-crash"})
    submission = submission_create(user=user, image=digest_make(), manifest=manifest, releases=[public.slug])
    states = []
    for _ in range(3):
        submission_inspect(submission_id=submission.id)
        submission.refresh_from_db()
        states.append(submission.state)
    assert states == [SubmissionState.SUBMITTED, SubmissionState.SUBMITTED, SubmissionState.REFUSED]
    assert "the platform failed" in submission.problems[0]["problem"]


def test_hidden_runs_wait_for_the_tryout_and_follow_when_it_is_scored(
    submit: Submit, hidden: Release, public: Release
) -> None:
    submission = submit(hidden, tryout=True, n_seeds=2)
    tryout = submission.runs.get(release=public)
    followers = list(submission.runs.filter(release=hidden))
    assert len(followers) == 2
    assert {run.waits_for_id for run in followers} == {tryout.id}
    lease = services.run_claim(owner="worker:x:1", host="x")
    assert lease is not None
    assert lease.run_id == tryout.id
    assert services.run_claim(owner="worker:x:1", host="x") is None
    services.run_hand_back(lease=lease)
    assert worker.work_until_empty() == 3
    assert set(submission.runs.values_list("state", flat=True)) == {RunState.SCORED}


def test_a_failed_tryout_cancels_the_hidden_runs_before_they_cost_anything(
    submit: Submit, hidden: Release, public: Release
) -> None:
    submission = submit(hidden, tryout=True, hparams={"behaviour": "method-error-unlearning"})
    assert worker.work_until_empty() == 1
    run = submission.runs.get(release=hidden)
    assert run.state == RunState.CANCELLED
    assert run.reason.endswith("ended as FAILED_METHOD.")
    assert run.attempt == 0


def test_a_retried_tryout_brings_back_the_runs_that_waited_for_it(
    submit: Submit, hidden: Release, public: Release, organiser: User
) -> None:
    submission = submit(hidden, tryout=True)
    tryout = submission.runs.get(release=public)
    lease = services.run_claim(owner="worker:x:1", host="x")
    assert lease is not None
    services.run_end(run_id=tryout.id, target=RunState.FAILED_PLATFORM, actor="test", fence=lease.fence)
    assert submission.runs.get(release=hidden).state == RunState.CANCELLED
    tryout.refresh_from_db()
    services.run_retry(run=tryout, user=organiser)
    assert worker.work_until_empty() == 2
    assert submission.runs.get(release=hidden).state == RunState.SCORED


def test_a_withdrawn_submission_cancels_what_waits(
    submit: Submit, hidden: Release, public: Release, user: User
) -> None:
    submission = submit(hidden, tryout=True)
    submission_withdraw(submission=submission, user=user)
    assert submission.state == SubmissionState.WITHDRAWN
    assert set(Run.objects.values_list("state", flat=True)) == {RunState.CANCELLED}


def test_a_method_is_put_on_record_once(user: User) -> None:
    method_register(owner=user, name="Gradient difference", kind="unlearning")
    with pytest.raises(Duplicate, match="is a method of ada"):
        method_register(owner=user, name="Gradient Difference", kind="editing")
    with pytest.raises(Refused) as error:
        method_register(owner=user, name="", kind="magic", paper="ftp://x")
    assert fields_of(error) == ["name", "kind", "paper"]
