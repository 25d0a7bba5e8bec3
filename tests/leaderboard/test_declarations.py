"""What a submission says of itself is not taken on trust: names, kinds, seeds, repeats, and how often it is tried."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from leaderboard.accounts.models import User
from leaderboard.audit.models import AuditEntry
from leaderboard.benchmarks.models import Release
from leaderboard.core.problems import Duplicate, NotAllowed, QuotaSpent, Refused
from leaderboard.methods.models import Method, Submission, SubmissionState
from leaderboard.methods.names import name_problem, skeleton
from leaderboard.methods.services import method_register
from leaderboard.runs.models import Run
from leaderboard.runs.states import RunState
from leaderboard.submissions.create import seeds_chosen, submission_create
from leaderboard.submissions.inspect import submission_inspect
from leaderboard.submissions.withdraw import submission_withdraw
from leaderboard.worker import execute as worker
from tests.leaderboard.conftest import Submit, digest_make, manifest_make

BROKEN = "sha256:" + "0" * 64  # the evaluator of these tests refuses it


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["ROME\u202e", "RO\u200bME", "ROME\x07", "\u0420\u041eME", "RO\u039cE", "\uff32OME", "日本", "---"],
)
def test_a_name_of_other_scripts_or_of_what_is_not_seen_is_refused(user: User, name: str) -> None:
    assert name_problem(name)
    with pytest.raises(Refused, match="name"):
        method_register(owner=user, name=name, slug="rome-2", kind="editing")


@pytest.mark.parametrize("name", ["ROME", "Müller edit", "MEMIT (merged), v2", "k-NN + refusal", "Señor's"])
def test_a_name_in_latin_letters_is_fine(name: str) -> None:
    assert not name_problem(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [("ROME", "R0ME"), ("ROME", "r-o-m-e"), ("MEMIT", "MEM1T"), ("Simple", "Sirnple"), ("Łoss", "LOSS")],
)
def test_names_that_look_alike_have_one_skeleton(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)


def test_names_that_differ_have_two_skeletons() -> None:
    names = ("ROME", "MEMIT", "MEMIT (merged)", "GRACE", "WISE", "AlphaEdit", "GA", "GradDiff", "NPO", "SimNPO", "DPO")
    assert len({skeleton(name) for name in names}) == len(names)


def test_a_name_that_looks_like_a_registered_one_is_refused(submit: Submit, stranger: User, public: Release) -> None:
    submit(public, name="Memit")
    with pytest.raises(Refused, match="looks like 'Memit', a method of ada"):
        submission_create(
            user=stranger, image=digest_make(9), manifest=manifest_make(name="Mem1t"), releases=[public.slug]
        )


@pytest.mark.parametrize("field", ["name", "version", "licence"])
def test_no_text_of_a_manifest_holds_what_is_not_seen(user: User, public: Release, field: str) -> None:
    with pytest.raises(Refused, match="RIGHT-TO-LEFT OVERRIDE"):
        submission_create(
            user=user, image=digest_make(), manifest=manifest_make(**{field: "a\u202eb"}), releases=[public.slug]
        )


def test_a_name_without_latin_letters_is_refused_by_the_field_that_was_written(user: User, public: Release) -> None:
    manifest = manifest_make(name="遗忘方法")
    with pytest.raises(Refused) as caught:
        submission_create(user=user, image=digest_make(), manifest=manifest, releases=[public.slug])
    (problem,) = caught.value.problems
    assert (problem["field"], problem["value"]) == ("manifest.name", "遗忘方法")
    assert "Latin" in problem["problem"]


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Łøß", "loss"), ("AlphaEdit+", "alphaedit-plus"), ("k-NN + refusal", "k-nn-plus-refusal"), ("Müller", "muller")],
)
def test_a_slug_is_made_of_every_name(user: User, name: str, slug: str) -> None:
    assert method_register(owner=user, name=name, kind="editing").slug == slug


def test_a_name_with_a_plus_is_another_method(submit: Submit, public: Release) -> None:
    slugs = [submit(public, name=name).method.slug for name in ("AlphaEdit", "AlphaEdit+", "alpha_edit", "Alpha-Edit")]
    assert slugs[:2] == ["alphaedit", "alphaedit-plus"]
    assert slugs[2] == slugs[3]  # they differ by case and hyphens: versions of one method


def test_a_name_that_only_signs_tell_from_another_is_refused_by_name(
    submit: Submit, stranger: User, public: Release
) -> None:
    submit(public, name="AlphaEdit")
    for user, remedy in ((None, "alphaedit"), (stranger, "choose a name")):
        with pytest.raises(Refused, match="too near to 'AlphaEdit'") as caught:
            submit(public, name="AlphaEdit*", by=user)
        assert caught.value.problems[0]["field"] == "manifest.name"
        assert remedy in caught.value.problems[0]["remedy"]
    with pytest.raises(Refused, match="looks like 'AlphaEdit'"):
        submit(public, name="A1phaEdit", by=stranger)


def test_a_name_is_registered_when_a_submission_is_accepted_and_not_before(
    user: User, stranger: User, public: Release, client: Client
) -> None:
    first = submission_create(user=user, image=BROKEN, manifest=manifest_make(), releases=[public.slug])
    with pytest.raises(Duplicate, match="is a method of ada"):  # while it is looked at, its name is held
        submission_create(user=stranger, image=digest_make(2), manifest=manifest_make(), releases=[public.slug])
    submission_inspect(submission_id=first.id)
    assert client.get("/methods/gradient-difference/").status_code == 404
    assert client.get("/api/v1/methods/").json()["count"] == 0
    second = submission_create(user=stranger, image=digest_make(2), manifest=manifest_make(), releases=[public.slug])
    submission_inspect(submission_id=second.id)
    method = Method.objects.get(slug="gradient-difference")
    assert method.owner == stranger
    assert method.registered_at is not None
    assert client.get("/methods/gradient-difference/").status_code == 200
    first.refresh_from_db()
    assert first.method.slug.startswith("gradient-difference-unregistered-")
    assert AuditEntry.objects.get(action="method.vacate").before["slug"] == "gradient-difference"
    with pytest.raises(NotAllowed, match="belongs to bob"):
        submission_create(user=user, image=digest_make(3), manifest=manifest_make(), releases=[public.slug])


def test_a_name_alone_keeps_nobody_from_it(user: User, submit: Submit, stranger: User, public: Release) -> None:
    method_register(owner=stranger, name="Gradient difference", kind="editing")
    submission = submit(public)
    assert submission.method.owner == user
    assert submission.method.slug == "gradient-difference"


def test_who_registers_sees_the_method_and_nobody_else(client: Client, user: User, stranger: User) -> None:
    method_register(owner=user, name="Early", kind="editing")
    client.force_login(stranger)
    assert client.get("/methods/early/").status_code == 404
    assert "Early" not in client.get("/methods/").content.decode()
    client.force_login(user)
    assert client.get("/methods/early/").status_code == 200
    assert "Early" in client.get("/methods/").content.decode()


# --- kinds and seeds -------------------------------------------------------------------------------------------------


def test_controls_are_for_organisers(user: User, organiser: User, public: Release) -> None:
    given: dict[str, Any] = {"image": digest_make(), "manifest": manifest_make(kind="control")}
    with pytest.raises(Refused, match=r"manifest\.kind .*is for the fixed points that organisers submit"):
        submission_create(user=user, **given, releases=[public.slug])
    with pytest.raises(Refused, match="kind"):
        method_register(owner=user, name="Mine", kind="control")
    assert submission_create(user=organiser, **given, releases=[public.slug]).method.kind == "control"


def test_the_platform_chooses_seeds(user: User, organiser: User, public: Release) -> None:
    with pytest.raises(Refused, match="the platform chooses seeds"):
        submission_create(user=user, image=digest_make(), manifest=manifest_make(), releases=[public.slug], seeds=[7])
    made = submission_create(
        user=user, image=digest_make(), manifest=manifest_make(), releases=[public.slug], n_seeds=3
    )
    assert made.seeds == seeds_chosen(made.id, 3)
    assert len(set(made.seeds)) == 3
    assert all(0 <= seed < 2**31 for seed in made.seeds)
    assert seeds_chosen("sxxxxxxxxx", 3) != made.seeds
    manifest = manifest_make(name="Reference")
    own = submission_create(user=organiser, image=digest_make(2), manifest=manifest, releases=[public.slug], seeds=[0])
    assert own.seeds == [0]


# --- repeats ---------------------------------------------------------------------------------------------------------


def test_one_image_is_one_entry_under_any_name_version_and_account(
    submit: Submit, user: User, stranger: User, hidden: Release
) -> None:
    first = submit(hidden)
    for by, manifest in (
        (user, manifest_make(version="2")),
        (user, manifest_make(name="Other name")),
        (stranger, manifest_make(name="Other name", kind="editing", authors=["B"])),
    ):
        with pytest.raises(Duplicate, match=first.id):
            submission_create(user=by, image=first.image, manifest=manifest, releases=[hidden.slug], n_seeds=2)
    submission_withdraw(submission=first, user=user)
    with pytest.raises(Duplicate, match=first.id):
        submission_create(
            user=user, image=first.image, manifest=manifest_make(name="Other name"), releases=[hidden.slug]
        )


def test_the_runs_of_one_person_on_a_hidden_release_are_capped(
    submit: Submit, user: User, organiser: User, hidden: Release, public: Release, settings: Any
) -> None:
    settings.HIDDEN_RUNS_PER_RELEASE = 3
    first = submit(hidden, name="a", n_seeds=2)
    worker.work_until_empty()
    submission_withdraw(submission=first, user=user)  # a withdrawn try has been one
    with pytest.raises(QuotaSpent, match=r"takes 3 runs of one person, and 1 of yours are left for 2"):
        submit(hidden, name="b", n_seeds=2)
    waiting = submission_create(user=user, image=digest_make(50), manifest=manifest_make(), releases=[hidden.slug])
    assert waiting.state == SubmissionState.SUBMITTED
    with pytest.raises(QuotaSpent, match="0 of yours are left"):
        submit(hidden, name="c")
    assert submit(public, name="c").state == SubmissionState.ACCEPTED
    assert submit(hidden, name="d", by=organiser).state == SubmissionState.ACCEPTED
    Run.objects.filter(submission=first).update(state=RunState.FAILED_PLATFORM)
    assert submit(hidden, name="e").state == SubmissionState.ACCEPTED


def test_old_submissions_keep_their_identity(submit: Submit, public: Release) -> None:
    """What 0003 fills in is what new submissions are given."""
    submission = submit(public)
    assert Submission.objects.get().entry_sha256 == submission.entry_sha256
    assert len(submission.entry_sha256) == 64
