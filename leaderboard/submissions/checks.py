"""What a submission must satisfy before anything is stored; each check adds to one list of problems."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from evaluator.contract import ARCHIVE_REFERENCE, IMAGE_REFERENCE, IMAGE_TAG, Manifest, ManifestError, manifest_parse
from leaderboard.accounts.models import User
from leaderboard.benchmarks.models import Release, ReleaseState
from leaderboard.core.problems import Problem, problem_make
from leaderboard.methods.models import Kind, Submission, SubmissionState
from leaderboard.methods.services import control_problem
from leaderboard.runs.models import Run
from leaderboard.runs.states import RunState
from leaderboard.uploads.selectors import upload_complete

MAX_SEEDS = 5


def manifest_check(data: Any, problems: list[Problem]) -> Manifest | None:
    """The manifest, or None and its problems under `manifest.…`."""
    try:
        return manifest_parse(data)
    except ManifestError as error:
        for item in error.problems:
            name = item["field"] if item["field"].startswith("manifest") else f"manifest.{item['field']}"
            problems.append(problem_make(name, item["value"], item["problem"], item["remedy"]))
        return None


def kind_check(manifest: Manifest, user: User, problems: list[Problem]) -> None:
    """Controls are the organisers'."""
    if Kind(manifest.kind) is Kind.CONTROL and not user.is_organiser:
        problems.append(control_problem("manifest.kind"))


def image_check(image: str, user: User, problems: list[Problem]) -> None:
    """By digest, by tag, or an archive that this person has uploaded.

    The process backend (development without containers) takes the path of a method folder too.
    """
    if ARCHIVE_REFERENCE.match(image):
        _archive_check(image, user, problems)
    elif IMAGE_REFERENCE.match(image):
        if not image.startswith("sha256:") or not _is_of_anothers_archive(image, user):
            return
        remedy = "upload the archive yourself, or name the image by its registry"
        problems.append(problem_make("image", image, "came here in somebody else's upload", remedy))
    elif not IMAGE_TAG.match(image) and not _is_folder(image):
        remedy = (
            "give `sha256:<64 hex digits>` (an image ID), `NAME@sha256:<64 hex digits>`, "
            "`HOST/NAME:TAG` with the registry's host, or upload the archive"
        )
        problems.append(problem_make("image", image, "is not a reference to an image", remedy))


def image_digest(image: str) -> str:
    """What makes two references one image: the digest, or a development folder's path; empty for a tag."""
    return image.rsplit("@", 1)[-1] if IMAGE_REFERENCE.match(image) or _is_folder(image) else ""


def archive_sha256(image: str) -> str:
    """The hash of an uploaded archive; empty for any other image."""
    found = ARCHIVE_REFERENCE.match(image)
    return found["sha256"] if found else ""


def archive_problem(image: str) -> Problem:
    remedy = "upload the archive yourself, wait until it is COMPLETE, and submit the `image` that it is given"
    return problem_make("image", image, "is not one of your uploads", remedy)


def _archive_check(image: str, user: User, problems: list[Problem]) -> None:
    if upload_complete(owner=user, sha256=archive_sha256(image)) is None:
        problems.append(archive_problem(image))


def _is_of_anothers_archive(image: str, user: User) -> bool:
    """Whether an image ID is on this host because somebody else uploaded the archive, and not for this person too."""
    found = Submission.objects.filter(Q(image_id=image) | Q(inspection__image_id=image))
    return (
        found.filter(image__startswith="archive@").exclude(submitter=user).exists()
        and not found.filter(submitter=user).exists()
    )


def _is_folder(image: str) -> bool:
    return settings.EVALUATOR_BACKEND == "process" and Path(image).is_absolute() and Path(image).is_dir()


def releases_check(slugs: Sequence[str], manifest: Manifest | None, problems: list[Problem]) -> list[Release]:
    """The releases named; unknown and retired ones, and those whose base the manifest rules out, are problems."""
    if not slugs:
        problems.append(problem_make("releases", "", "is empty", "name at least one benchmark release"))
    known = {release.slug: release for release in Release.objects.all()}
    found: list[Release] = []
    for slug in dict.fromkeys(slugs):
        release = known.get(slug)
        if release is None:
            near = difflib.get_close_matches(slug, known, n=3, cutoff=0.3) or sorted(known)[:5]
            remedy = f"did you mean {' or '.join(near)}?" if near else "no release is there yet; ask the organisers"
            problems.append(problem_make("releases", slug, "is not a known benchmark release", remedy))
            continue
        if release.state == ReleaseState.RETIRED:
            problems.append(problem_make("releases", slug, "has retired", "submit to a newer release"))
            continue
        if manifest and manifest.run.base != "any" and release.base_sha256 not in manifest.run.base:
            problems.append(
                problem_make(
                    "manifest.run.base",
                    ", ".join(base[:12] + "…" for base in manifest.run.base),
                    f"does not allow the base of {slug}, {release.base_name} ({release.base_sha256[:12]}…)",
                    f'add "{release.base_sha256}" to `base`, or set `base = "any"`',
                )
            )
        found.append(release)
    return found


def seeds_check(n_seeds: int, seeds: Sequence[int], user: User, problems: list[Problem]) -> list[int]:
    """Whether 1 to 5 seeds are to be chosen. Organisers may name them: distinct ones in [0, 2³¹), returned in order."""
    if not 1 <= n_seeds <= MAX_SEEDS:
        problems.append(problem_make("n_seeds", n_seeds, "is no number of seeds", f"give 1 to {MAX_SEEDS}"))
    given = sorted(set(seeds))
    if given and not user.is_organiser:
        remedy = f"leave it out; `n_seeds` says how many there are to be, 1 to {MAX_SEEDS}"
        problems.append(problem_make("seeds", list(seeds), "is for organisers: the platform chooses seeds", remedy))
    elif given and (len(given) > MAX_SEEDS or given[0] < 0 or given[-1] >= 2**31):
        remedy = f"give 1 to {MAX_SEEDS} whole numbers from 0 to 2147483647"
        problems.append(problem_make("seeds", list(seeds), "is not a list of seeds", remedy))
    return given


def quota_left(user: User) -> int:
    """Submissions left in the rolling 24 hours. Refused ones, and those that only the platform failed, cost nothing."""
    if user.is_organiser:
        return max(int(settings.SUBMISSIONS_PER_DAY), 1_000)
    since = timezone.now() - timedelta(hours=24)
    runs = Run.objects.filter(submission=OuterRef("pk"))
    spent: int = (
        Submission.objects.filter(submitter=user, created_at__gte=since)
        .exclude(state=SubmissionState.REFUSED)
        .exclude(
            Exists(runs.filter(state=RunState.FAILED_PLATFORM)), ~Exists(runs.exclude(state=RunState.FAILED_PLATFORM))
        )
        .count()
    )
    return int(settings.SUBMISSIONS_PER_DAY) - spent


def hidden_runs_problems(user: User, releases: Sequence[Release], n_seeds: int) -> list[Problem]:
    """Of each hidden release: the runs that a person has had there, and those that are to come, must keep to the cap.

    Withdrawn and refused tries count like others, and what only the platform failed does not: see docs/security.md for
    what so many runs could carry out.
    """
    if user.is_organiser:
        return []
    cap, found = int(settings.HIDDEN_RUNS_PER_RELEASE), list[Problem]()
    for release in releases:
        if not release.is_hidden:
            continue
        runs = Run.objects.filter(release=release, submission__submitter=user).exclude(state=RunState.FAILED_PLATFORM)
        had = runs.exclude(state=RunState.CANCELLED, started_at=None).count()
        waiting = Submission.objects.filter(
            submitter=user, releases=release, state__in=[SubmissionState.SUBMITTED, SubmissionState.INSPECTING]
        )
        to_come = sum(len(submission.seeds) for submission in waiting)
        if had + to_come + n_seeds > cap:
            left = max(cap - had - to_come, 0)
            problem = f"takes {cap} runs of one person, and {left} of yours are left for {n_seeds}"
            remedy = "submit to another release, with fewer seeds, or wait for the next round of this one"
            found.append(problem_make("releases", release.slug, problem, remedy))
    return found


def repeat_problem(image: str, earlier: Submission) -> Problem:
    problem = f"was submitted already to run like this: submission {earlier.id}"
    remedy = "follow the earlier one; another name, version, seed or account makes no other entry of one image"
    return problem_make("image", image, problem, remedy)
