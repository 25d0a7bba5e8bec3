"""Take a submission in: checked as a whole, stored once, and its inspection asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from evaluator.contract import Manifest
from leaderboard.accounts.models import User
from leaderboard.audit.services import actor_of, audit_record, audited
from leaderboard.benchmarks.models import Release
from leaderboard.core.problems import Duplicate, NotAllowed, Problem, QuotaSpent, Refused, problem_make
from leaderboard.core.task_messages import SUBMISSION_INSPECT, task_send
from leaderboard.methods import policies
from leaderboard.methods.models import Method, Submission, SubmissionState
from leaderboard.methods.names import same_name
from leaderboard.methods.selectors import method_named
from leaderboard.methods.services import method_register
from leaderboard.submissions import checks
from leaderboard.submissions.enqueue import runs_enqueue
from leaderboard.uploads.services import upload_claim


def submission_create(
    *,
    user: User,
    image: str,
    manifest: Any,
    releases: Sequence[str],
    method: str = "",
    tryout: bool = True,
    n_seeds: int = 1,
    seeds: Sequence[int] = (),
) -> Submission:
    """Take in one image with its manifest, for inspection.

    `image` is a digest, a tag (`HOST/NAME:TAG`, resolved at the inspection) or `archive@sha256:…` of the user's own
    upload. Without `method` the manifest's name decides: the user's method of that slug, registered now if it is new.
    What was refused before may be sent again by the same user (an image that was missing may be there now). An accepted
    one that its submitter sends again to further releases gets runs there too, and is given back. Any other repeat is
    refused and names the earlier submission: one image that runs in one way is one entry, whatever its name, version or
    account, and what was withdrawn counts. The platform chooses `n_seeds` seeds; organisers may name `seeds`.

    Raises `Refused`, `Duplicate`, `NotAllowed`, `QuotaSpent`.
    """
    problems: list[Problem] = []
    parsed = checks.manifest_check(manifest, problems)
    checks.image_check(image, user, problems)
    found = checks.releases_check(releases, parsed, problems)
    given_seeds = checks.seeds_check(n_seeds, seeds, user, problems)
    if method and not Method.objects.filter(slug=method).exists():
        problems.append(problem_make("method", method, "is not registered", "register it first, or leave `method` out"))
    if parsed is not None:
        checks.kind_check(parsed, user, problems)
    if problems or parsed is None:
        raise Refused(problems)
    if worn := checks.hidden_runs_problems(user, found, len(given_seeds) or n_seeds):
        raise QuotaSpent(worn)
    if checks.quota_left(user) < 1:
        remedy = "try again tomorrow; try-outs with `palimpsest try` on your machine cost nothing"
        value = f"{settings.SUBMISSIONS_PER_DAY} in 24 hours"
        raise QuotaSpent([problem_make("quota", value, "is spent", remedy)])
    with audited():
        owned = _method_for(user, method, parsed)
        digest = checks.image_digest(image)
        earlier = _earlier(image, digest, parsed.entry_digest())
        fields: dict[str, Any] = {
            "method": owned,
            "image": image,
            "resolved": image if digest else "",
            "digest": digest,
            "version": parsed.version,
            "manifest": parsed.model_dump(mode="json"),
            "manifest_sha256": parsed.digest(),
            "entry_sha256": parsed.entry_digest(),
            "division": parsed.division,
            "tryout": tryout,
            "problems": [],
            "inspection_tries": 0,
        }
        if earlier is None:
            submission = Submission(submitter=user, **fields)
        elif earlier.state == SubmissionState.REFUSED and earlier.submitter_id == user.pk:
            submission = earlier
            for name, value in (fields | {"state": SubmissionState.SUBMITTED, "created_at": timezone.now()}).items():
                setattr(submission, name, value)
        elif _may_go_further(earlier, user, found):
            return _go_further(earlier, user, found)
        else:
            raise Duplicate([checks.repeat_problem(image, earlier)])
        submission.seeds = given_seeds or seeds_chosen(submission.id, n_seeds)
        archive = checks.archive_sha256(image)
        if archive and not upload_claim(user=user, sha256=archive):  # it expired in this moment
            raise Refused([checks.archive_problem(image)])
        try:
            with transaction.atomic():
                submission.save()
        except IntegrityError:  # the same digest in the same moment
            raise Duplicate(
                [problem_make("image", image, "was submitted already with this manifest", "follow the earlier one")]
            ) from None
        submission.releases.set(found)
        audit_record(
            actor=actor_of(user),
            action="submission.create",
            target=submission,
            before={} if earlier is None else {"state": SubmissionState.REFUSED},
            after={"image": image, "manifest_sha256": parsed.digest(), "releases": ", ".join(releases)},
        )
        task_send(SUBMISSION_INSPECT, submission.id)
    return submission


def seeds_chosen(submission_id: str, count: int) -> list[int]:
    """The platform's seeds of a submission: nobody can try seeds until one fits."""
    drawn = (salted_hmac("submission seed", f"{submission_id}:{number}").digest() for number in range(count))
    return sorted(int.from_bytes(digest[:4], "big") >> 1 for digest in drawn)


def _method_for(user: User, slug: str, manifest: Manifest) -> Method:
    """The method of that slug, or of the manifest's name; registered now if it is new. Problems name what is given."""
    if slug:
        method = Method.objects.select_related("owner").filter(slug=slug).first()
    else:
        method = method_named(owner=user, name=manifest.name)
    if method is None or (method.registered_at is None and not policies.may_submit_for(user, method)):
        return _registered(user, slug, manifest)
    if not slug and not same_name(method.name, manifest.name):
        problem = f"is too near to {method.name!r}, a method of {method.owner.username}"
        remedy = "choose a name that differs in a letter or a digit"
        if policies.may_submit_for(user, method):
            remedy += f", or give `method` as {method.slug} to submit a version of that one"
        raise Refused([problem_make("manifest.name", manifest.name, problem, remedy)])
    if not policies.may_submit_for(user, method):
        remedy = "ask its owner to submit, or register your method under another name"
        field, value = ("method", slug) if slug else ("manifest.name", manifest.name)
        raise NotAllowed([problem_make(field, value, f"belongs to {method.owner.username}", remedy)])
    return method


def _registered(user: User, slug: str, manifest: Manifest) -> Method:
    try:
        return method_register(
            owner=user,
            name=manifest.name,
            kind=manifest.kind,
            slug=slug,
            paper=manifest.paper,
            code=manifest.code,
            licence=manifest.licence,
            authors=manifest.authors,
        )
    except Refused as refused:
        for problem in refused.problems:
            if problem["field"] == "slug" and not slug:
                problem["field"], problem["value"] = "manifest.name", manifest.name
            elif problem["field"] in Manifest.model_fields:
                problem["field"] = f"manifest.{problem['field']}"
        raise


def _earlier(image: str, digest: str, entry_sha256: str) -> Submission | None:
    """What a submission of this image would repeat. A tag repeats only what is not resolved yet: it may move later."""
    found = Submission.objects.filter(entry_sha256=entry_sha256, digest=digest)
    if not digest:
        found = found.filter(image=image).exclude(state=SubmissionState.WITHDRAWN)
    order = {SubmissionState.REFUSED: 1}  # what is refused may be sent again: a live one says no first
    return min(found, key=lambda one: order.get(SubmissionState(one.state), 0), default=None)


def _may_go_further(earlier: Submission, user: User, releases: Sequence[Release]) -> bool:
    """Whether a repeat is the submitter's own, accepted already, to a release that it was not judged on."""
    known = set(earlier.releases.values_list("pk", flat=True))
    mine = earlier.state == SubmissionState.ACCEPTED and earlier.submitter_id == user.pk
    return mine and any(release.pk not in known for release in releases)


def _go_further(earlier: Submission, user: User, releases: Sequence[Release]) -> Submission:
    """Runs of an accepted submission on further releases; what it was inspected for holds there too."""
    before = ", ".join(sorted(earlier.releases.values_list("slug", flat=True)))
    earlier.releases.add(*releases)
    runs_enqueue(earlier)
    after = ", ".join(sorted(earlier.releases.values_list("slug", flat=True)))
    audit_record(
        actor=actor_of(user),
        action="submission.extend",
        target=earlier,
        before={"releases": before},
        after={"releases": after},
    )
    return earlier
