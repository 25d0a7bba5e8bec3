"""Pages of methods and submissions, and the form that makes a submission."""

from __future__ import annotations

import json
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from leaderboard.accounts.models import User
from leaderboard.benchmarks.selectors import release_slugs_open_to_submit
from leaderboard.boards.exports import bibtex
from leaderboard.boards.selectors import board_list
from leaderboard.boards.table import Column, Entry, columns_read, entries_read
from leaderboard.core.problems import Problem, Refused
from leaderboard.methods.models import Division, Kind, Method, Submission, SubmissionState
from leaderboard.methods.policies import may_see, may_see_problems, may_submit_for, may_withdraw
from leaderboard.methods.selectors import method_get
from leaderboard.methods.toml import manifest_toml
from leaderboard.pages.runs import STOP_POLLING
from leaderboard.pages.submission_form import SubmissionForm, initial_of
from leaderboard.submissions import checks, create, selectors, withdraw
from leaderboard.uploads.policies import max_bytes

_SETTLED = {SubmissionState.REFUSED, SubmissionState.WITHDRAWN}
_KEY_COLUMNS = ("overall", "forgetting", "generality", "locality", "har", "over_refusal", "extraction_strength")


@require_safe
def method_list(request: HttpRequest) -> HttpResponse:
    """Every registered method, by name or kind."""
    query = request.GET.get("q", "").strip()[:100]
    kind = request.GET.get("kind", "")
    found = selectors.method_list(viewer=request.user).order_by("name")
    if query:
        found = found.filter(name__icontains=query)
    if kind in Kind.values:
        found = found.filter(kind=kind)
    page = Paginator(found, 60).get_page(request.GET.get("page"))
    return render(request, "methods/list.html", {"page": page, "query": query, "kind": kind, "kinds": Kind.choices})


@require_safe
def method_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One method: what it is, what it scored where, what was submitted, how to repeat it."""
    try:
        method = method_get(slug=slug)
        if not may_see(request.user, method):
            raise Method.DoesNotExist
    except Method.DoesNotExist:
        raise Http404(f"There is no method “{slug}”.") from None
    submissions = list(selectors.submission_list(method=method)[:50])
    latest = submissions[0] if submissions else None
    boards = _placements(slug)
    cited = latest.manifest.get("authors") if latest else None
    by_file = bool(latest and checks.archive_sha256(latest.image))
    context = {
        "method": method,
        "submissions": submissions,
        "latest": latest,
        "authors": method.authors or cited or [],
        "boards": boards,
        "may_submit": may_submit_for(request.user, method),
        "divisions": dict(Division.choices),
        "release": _public_release(latest) if latest else "",
        "repeat_by_file": by_file,
        "repeat_image": (latest.image_id if by_file else latest.resolved or latest.image) if latest else "",
        "toml": request.build_absolute_uri(reverse("methods:toml", args=[latest.id])) if latest else "",
        "bibtex": bibtex(
            key=f"palimpsest-{method.slug}",
            title=f"{method.name} {latest.version if latest else ''}".strip() + ", as run on Palimpsest",
            url=request.build_absolute_uri(method.get_absolute_url()),
            year=str((latest or method).created_at.year),
            note=f"Submission {latest.id}" if latest else "Palimpsest leaderboard",
            authors=list(method.authors or cited or []),
        ),
    }
    return render(request, "methods/detail.html", context)


def _public_release(submission: Submission) -> str:
    """The slug of the public split that goes with what it was submitted to."""
    first = next(iter(submission.releases.all()), None)
    if first is None:
        return ""
    return first.public_sibling_slug if first.is_hidden else first.slug


def _placements(slug: str) -> list[dict[str, Any]]:
    """Where the method stands: one item a board and entry, with the scores that are shown on its page."""
    found: list[dict[str, Any]] = []
    for line in board_list():
        if line.snapshot is None:
            continue
        columns = {column.key: column for column in columns_read(line.snapshot.shown)}
        for entry in entries_read(line.snapshot.shown):
            if entry.method_slug == slug:
                found.append(
                    {
                        "release": line.release,
                        "snapshot": line.snapshot,
                        "entry": entry,
                        "scores": _scores(columns, entry),
                        "cost": [(c, entry.score(c.key)) for c in columns.values() if c.group == "cost"],
                    }
                )
    found.sort(key=lambda item: not item["release"].is_hidden)
    return found


def _scores(columns: dict[str, Column], entry: Entry) -> list[tuple[Column, Any]]:
    keys = [key for key in _KEY_COLUMNS if key in columns]
    keys += [key for key, column in columns.items() if column.headline and key not in keys]
    return [(columns[key], entry.score(key)) for key in keys]


def _submission(submission_id: str) -> Submission:
    try:
        return selectors.submission_get(submission_id=submission_id)
    except Submission.DoesNotExist:
        raise Http404(f"There is no submission “{submission_id}”.") from None


def _submission_context(request: HttpRequest, submission: Submission) -> dict[str, Any]:
    runs = list(submission.runs.all())
    settled = submission.state in _SETTLED or (
        submission.state == SubmissionState.ACCEPTED and all(run.is_final for run in runs)
    )
    return {
        "submission": submission,
        "runs": runs,
        "settled": settled,
        "problems": submission.problems if may_see_problems(request.user, submission) else [],
        "may_see": may_see_problems(request.user, submission),
        "may_withdraw": may_withdraw(request.user, submission),
    }


@require_safe
@never_cache
def submission_detail(request: HttpRequest, submission_id: str) -> HttpResponse:
    """One submission: its manifest, its image, how it fared."""
    submission = _submission(submission_id)
    return render(request, "methods/submission.html", _submission_context(request, submission))


@require_safe
@never_cache
def submission_status(request: HttpRequest, submission_id: str) -> HttpResponse:
    """The live part of the submission page; status 286 ends the polling."""
    context = _submission_context(request, _submission(submission_id))
    return render(
        request, "methods/_submission_status.html", context, status=STOP_POLLING if context["settled"] else 200
    )


@require_safe
def submission_manifest(request: HttpRequest, submission_id: str) -> HttpResponse:
    """The manifest as JSON, the form that the API takes."""
    submission = _submission(submission_id)
    body = json.dumps(submission.manifest, indent=2, ensure_ascii=False)
    response = HttpResponse(body + "\n", content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{submission_id}-manifest.json"'
    return response


@require_safe
def submission_toml(request: HttpRequest, submission_id: str) -> HttpResponse:
    """The manifest as `method.toml`."""
    submission = _submission(submission_id)
    response = HttpResponse(manifest_toml(submission.manifest), content_type="application/toml; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="method.toml"'
    return response


@login_required
@require_POST
def submission_withdraw(request: HttpRequest, submission_id: str) -> HttpResponse:
    """Takes a submission off the boards; its record stays."""
    try:
        withdraw.submission_withdraw(submission=_submission(submission_id), user=cast(User, request.user))
    except Refused as refused:
        for problem in refused.problems:
            messages.error(request, f"{problem['field']} {problem['value']} {problem['problem']}: {problem['remedy']}.")
    else:
        messages.success(request, "The submission is withdrawn. It leaves the boards with their next snapshot.")
    return redirect("methods:submission", submission_id=submission_id)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def submit(request: HttpRequest) -> HttpResponse:
    """Takes in one image with its manifest, through the same service as the API."""
    user = cast(User, request.user)
    if request.method == "POST":
        form = SubmissionForm(request.POST, request.FILES, user=user)
        if form.is_valid():
            data = form.cleaned_data
            try:
                submission = create.submission_create(
                    user=user,
                    image=data["image"],
                    manifest=data["manifest_table"],
                    releases=data["releases"],
                    method=data["method"],
                    tryout=data["tryout"],
                    n_seeds=data["n_seeds"],
                )
            except Refused as refused:
                form.problems_add(refused.problems)
            else:
                messages.success(request, "Submitted. The image is being inspected; this page follows it.")
                return redirect("methods:submission", submission_id=submission.id)
        else:
            form.problems_add(_problems_beside(form, user))
    else:
        form = SubmissionForm(user=user, initial=initial_of(request.GET, slugs=release_slugs_open_to_submit()))
    context = {"form": form, "left": checks.quota_left(user), "upload_max_gb": max_bytes() / 1e9}
    return render(request, "methods/submit.html", context, status=400 if form.errors else 200)


def _problems_beside(form: SubmissionForm, user: User) -> list[Problem]:
    """What the service would refuse too, when the form is refused already: a person mends everything in one go."""
    data, found = form.cleaned_data, list[Problem]()
    manifest = checks.manifest_check(data["manifest_table"], found) if "manifest_table" in data else None
    if data.get("image"):
        checks.image_check(data["image"], user, found)
    if "releases" in data:
        checks.releases_check(data["releases"], manifest, found)
    if manifest is not None:
        checks.kind_check(manifest, user, found)
    return found
