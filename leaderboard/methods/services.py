"""Writes of methods and submissions."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, OperationalError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.text import slugify

from evaluator.contract import Manifest
from leaderboard.accounts.models import User
from leaderboard.audit.services import actor_of, audit_record, audited
from leaderboard.benchmarks.models import Release
from leaderboard.core.db import connections_renew
from leaderboard.core.problems import Conflict, Duplicate, NotAllowed, Problem, QuotaSpent, Refused, problem_make
from leaderboard.methods import checks, policies
from leaderboard.methods.models import SUBMISSION_TRANSITIONS, Kind, Method, Submission, SubmissionState
from leaderboard.runs import services as run_services
from leaderboard.runs.doorbell import BOARD_PUBLISH, SUBMISSION_INSPECT, doorbell_ring
from leaderboard.runs.evaluator import Answer, evaluator_call
from leaderboard.runs.models import Run
from leaderboard.runs.states import FINAL
from leaderboard.uploads.services import upload_claim

logger = structlog.get_logger(__name__)

INSPECTION_TRIES = 3
_INSPECT_OK, _INSPECT_REFUSED = 0, 2


def method_register(
    *,
    owner: User,
    name: str,
    kind: str,
    slug: str = "",
    paper: str = "",
    code: str = "",
    licence: str = "",
    authors: Sequence[str] = (),
    description: str = "",
) -> Method:
    """Register a method under a slug (made from the name if not given). Raises `Refused`, `Duplicate`."""
    slug = slug or slugify(name)[:80]
    problems: list[Problem] = []
    if not name.strip() or len(name) > 80:
        problems.append(problem_make("name", name, "is empty or too long", "give 1 to 80 characters"))
    if not slug or slugify(slug) != slug:
        problems.append(problem_make("slug", slug, "is not a slug", "use small letters, digits and hyphens"))
    if kind not in Kind.values:
        problems.append(problem_make("kind", kind, "is not a known kind", f"one of {', '.join(Kind.values)}"))
    for field, value in (("paper", paper), ("code", code)):
        if value and not value.startswith(("http://", "https://")):
            problems.append(
                problem_make(field, value, "is not a web address", "start with https://, or leave it empty")
            )
    if problems:
        raise Refused(problems)
    try:
        with audited():
            method = Method.objects.create(
                slug=slug,
                name=name.strip(),
                kind=kind,
                paper=paper,
                code=code,
                licence=licence,
                authors=list(authors),
                description=description,
                owner=owner,
            )
            audit_record(actor=actor_of(owner), action="method.register", target=method, after={"slug": slug})
            return method
    except IntegrityError:
        taken = Method.objects.select_related("owner").get(slug=slug)
        remedy = "submit to it" if taken.owner_id == owner.pk else "choose another name"
        raise Duplicate(
            [problem_make("slug", slug, f"is registered already by {taken.owner.username}", remedy)]
        ) from None


def submission_create(
    *,
    user: User,
    image: str,
    manifest: Any,
    releases: Sequence[str],
    method: str = "",
    tryout: bool = True,
    seeds: Sequence[int] = (0,),
) -> Submission:
    """Take in one image with its manifest, for inspection.

    `image` is a digest, a tag (`HOST/NAME:TAG`, resolved at the inspection) or `archive@sha256:…` of the user's own
    upload. Without `method` the manifest's name decides: the user's method of that slug, registered now if it is new.
    What was refused before may be sent again by the same user (an image that was missing may be there now). An accepted
    one that its submitter sends again to further releases gets runs there too, and is given back. Any other repeat is
    refused and names the earlier submission.

    Raises `Refused`, `Duplicate`, `NotAllowed`, `QuotaSpent`.
    """
    problems: list[Problem] = []
    parsed = checks.manifest_check(manifest, problems)
    checks.image_check(image, user, problems)
    found = checks.releases_check(releases, parsed, problems)
    given_seeds = checks.seeds_check(seeds, problems)
    if method and not Method.objects.filter(slug=method).exists():
        problems.append(problem_make("method", method, "is not registered", "register it first, or leave `method` out"))
    if problems or parsed is None:
        raise Refused(problems)
    if checks.quota_left(user) < 1:
        remedy = "try again tomorrow; try-outs with `palimpsest try` on your machine cost nothing"
        value = f"{settings.SUBMISSIONS_PER_DAY} in 24 hours"
        raise QuotaSpent([problem_make("quota", value, "is spent", remedy)])
    with audited():
        owned = _method_for(user, method, parsed)
        digest = checks.image_digest(image)
        earlier = _earlier(image, digest, parsed.digest())
        fields: dict[str, Any] = {
            "method": owned,
            "image": image,
            "resolved": image if digest else "",
            "digest": digest,
            "version": parsed.version,
            "manifest": parsed.model_dump(mode="json"),
            "division": parsed.division,
            "seeds": given_seeds,
            "tryout": tryout,
            "problems": [],
            "inspection_tries": 0,
        }
        if earlier is None:
            submission = Submission(submitter=user, manifest_sha256=parsed.digest(), **fields)
        elif earlier.state == SubmissionState.REFUSED and earlier.submitter_id == user.pk:
            submission = earlier
            for name, value in (fields | {"state": SubmissionState.SUBMITTED, "created_at": timezone.now()}).items():
                setattr(submission, name, value)
        elif _may_go_further(earlier, user, found):
            return _go_further(earlier, user, found)
        else:
            raise Duplicate([_repeat(image, earlier)])
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
        doorbell_ring(SUBMISSION_INSPECT, submission.id)
    return submission


def submission_inspect(*, submission_id: str) -> Submission | None:
    """Have the evaluator look at the image and the manifest; accept with runs, or refuse with every reason.

    None when somebody else inspects it or it is inspected already.
    """
    if not submission_move(submission_id, SubmissionState.SUBMITTED, SubmissionState.INSPECTING):
        return None
    submission = Submission.objects.get(id=submission_id)
    answer = _inspect(submission)
    report = _report(answer)
    resolved = submission.resolved or str(report.get("image", ""))
    if answer.code == _INSPECT_OK and report.get("ok") and checks.image_digest(resolved):
        return _accept(submission, report, resolved)
    if answer.code == _INSPECT_REFUSED and report.get("problems"):
        return _refuse(submission, report, report["problems"])
    logger.error("inspection failed", submission=submission_id, code=answer.code, stderr=answer.stderr[-2000:])
    if submission.inspection_tries + 1 < INSPECTION_TRIES:  # ours: the reaper rings again
        tries = submission.inspection_tries + 1
        submission_move(submission_id, SubmissionState.INSPECTING, SubmissionState.SUBMITTED, inspection_tries=tries)
        return Submission.objects.get(id=submission_id)
    fault = problem_make(
        "image", submission.image, "could not be inspected: the platform failed", "submit it again; it costs no quota"
    )
    return _refuse(submission, report, [fault])


def submission_withdraw(*, submission: Submission, user: User) -> Submission:
    """Take a submission off the boards and cancel what still runs; its record stays.

    Raises `NotAllowed`, `Conflict`.
    """
    if submission.submitter_id != user.pk and not user.is_organiser:
        raise NotAllowed(
            [problem_make("submission", submission.id, "is not yours", "ask its submitter or an organiser")]
        )
    with audited():
        source = SubmissionState(submission.state)
        if not policies.may_withdraw(user, submission) or not submission_move(
            submission.id, source, SubmissionState.WITHDRAWN, actor=actor_of(user)
        ):
            raise Conflict(
                [problem_make("submission", submission.id, f"is {submission.state}", "nothing is left to withdraw")]
            )
        for run in submission.runs.exclude(state__in=FINAL).order_by("waits_for"):
            run.refresh_from_db()
            if not run.is_final:
                run_services.run_cancel(run=run, user=user, reason="The submission was withdrawn.")
        for release in Release.objects.filter(runs__submission=submission).distinct():
            doorbell_ring(BOARD_PUBLISH, release.slug)
    submission.refresh_from_db()
    return submission


def _method_for(user: User, slug: str, manifest: Manifest) -> Method:
    slug = slug or slugify(manifest.name)[:80]
    method = Method.objects.select_related("owner").filter(slug=slug).first()
    if method is None:
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
    if not policies.may_submit_for(user, method):
        remedy = "ask its owner to submit, or register your method under another name"
        raise NotAllowed([problem_make("method", slug, f"belongs to {method.owner.username}", remedy)])
    return method


def _inspect(submission: Submission) -> Answer:
    with tempfile.TemporaryDirectory(prefix="palimpsest-inspect-") as folder:
        manifest = Path(folder) / "manifest.json"
        manifest.write_text(json.dumps(submission.manifest))
        arguments = ["inspect", "--image", submission.image, "--manifest", str(manifest)]
        arguments += ["--backend", settings.EVALUATOR_BACKEND]
        return evaluator_call(arguments, wall_s=settings.INSPECT_WALL_S, beat=lambda: _inspection_beat(submission.id))


def _inspection_beat(submission_id: str) -> None:
    """Say that the inspection goes on; a database that is away for a moment is no reason to end it."""
    try:
        Submission.objects.filter(id=submission_id, state=SubmissionState.INSPECTING).update(updated_at=timezone.now())
    except OperationalError as error:
        logger.warning("database away; the inspection goes on", submission=submission_id, error=str(error))
        connections_renew()


def _report(answer: Answer) -> dict[str, Any]:
    try:
        report = json.loads(answer.stdout)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def _earlier(image: str, digest: str, manifest_sha256: str) -> Submission | None:
    """What a submission of this image would repeat. A tag repeats only what is not resolved yet: it may move later."""
    found = Submission.objects.filter(manifest_sha256=manifest_sha256, digest=digest)
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
    _runs_enqueue(earlier)
    after = ", ".join(sorted(earlier.releases.values_list("slug", flat=True)))
    audit_record(
        actor=actor_of(user),
        action="submission.extend",
        target=earlier,
        before={"releases": before},
        after={"releases": after},
    )
    return earlier


def _repeat(image: str, earlier: Submission) -> Problem:
    problem = f"was submitted already with this manifest: submission {earlier.id}"
    return problem_make(
        "image", image, problem, "follow the earlier one, or change the image or the manifest's version"
    )


def _accept(submission: Submission, report: dict[str, Any], resolved: str) -> Submission:
    digest, image_id = checks.image_digest(resolved), str(report.get("image_id", ""))[:80]
    changes: dict[str, Any] = {"resolved": resolved, "digest": digest, "image_id": image_id, "inspection": report}
    try:
        with audited():
            if submission_move(submission.id, SubmissionState.INSPECTING, SubmissionState.ACCEPTED, **changes):
                _runs_enqueue(submission)
    except IntegrityError:  # the same image under another name
        same = Q(digest=digest) | Q(image_id=image_id)
        earlier = Submission.objects.filter(same, manifest_sha256=submission.manifest_sha256).exclude(
            Q(id=submission.id) | Q(state=SubmissionState.REFUSED)
        )
        if (first := earlier.first()) is None:
            raise
        return _refuse(submission, report, [_repeat(submission.image, first)])
    submission.refresh_from_db()
    return submission


def _runs_enqueue(submission: Submission) -> None:
    """The runs of an accepted submission. A hidden run waits for the try-out on the public sibling, if there is one."""
    for release in submission.releases.all():
        first: Run | None = None
        sibling = Release.objects.filter(slug=release.public_sibling_slug).first() if release.is_hidden else None
        if submission.tryout and sibling is not None:
            first = run_services.run_enqueue(
                submission=submission,
                release=sibling,
                seed=submission.seeds[0],
                priority=run_services.PRIORITY_TRYOUT,
                actor="inspection",
            )
        for seed in submission.seeds:
            run_services.run_enqueue(
                submission=submission, release=release, seed=seed, waits_for=first, actor="inspection"
            )


def _refuse(submission: Submission, report: dict[str, Any], problems: Sequence[Any]) -> Submission:
    submission_move(
        submission.id, SubmissionState.INSPECTING, SubmissionState.REFUSED, problems=list(problems), inspection=report
    )
    submission.refresh_from_db()
    return submission


def submission_move(
    submission_id: str, source: SubmissionState, target: SubmissionState, *, actor: str = "inspection", **changes: Any
) -> bool:
    """Compare-and-set of a submission's state, with its entry in the audit log; False when it is not in `source`."""
    if target not in SUBMISSION_TRANSITIONS[source]:
        return False
    with audited():
        rows = Submission.objects.filter(id=submission_id, state=source)
        moved = bool(rows.update(state=target, updated_at=timezone.now(), **changes))
        if moved:
            audit_record(
                actor=actor,
                action="submission.transition",
                target=("submission", submission_id),
                before={"state": source},
                after={"state": target},
            )
    return moved
