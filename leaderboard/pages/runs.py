"""Pages of runs: the queue, one run with its live state, its receipt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from leaderboard.accounts.models import User
from leaderboard.accounts.viewers import is_organiser
from leaderboard.core.problems import Refused
from leaderboard.runs import selectors, services
from leaderboard.runs.forecast import queue_place, queue_places
from leaderboard.runs.models import Run
from leaderboard.runs.output import run_output
from leaderboard.runs.policies import may_look, run_view, sees_details, sees_exact_numbers
from leaderboard.runs.states import RunState

#: htmx stops polling when it gets this status.
STOP_POLLING = 286
_STEPS = (
    ("Queued", {RunState.QUEUED}),
    ("Unlearning", {RunState.LEASED, RunState.UNLEARNING}),
    ("Measuring", {RunState.MEASURING}),
    ("Scoring", {RunState.SCORING}),
    ("Scored", {RunState.SCORED}),
)
_LOG_SHOWN = 20_000


@dataclass(frozen=True)
class EventLine:
    """One event as a reader may see it: on a hidden split neither a time nor a worker's name."""

    label: str
    state: str
    at: Any
    actor: str
    note: str


def _get(run_id: str) -> Run:
    try:
        return selectors.run_get(run_id=run_id)
    except Run.DoesNotExist:
        raise Http404(f"There is no run “{run_id}”.") from None


@require_safe
def run_list(request: HttpRequest) -> HttpResponse:
    """What runs, what waits and in which order, and what was done lately."""
    places = queue_places()
    waiting = [(run_view(run, request.user), places.get(run.id)) for run in selectors.queue_list()[:100]]
    page = Paginator(selectors.run_list().order_by("-created_at"), 50).get_page(request.GET.get("page"))
    context = {
        "waiting": waiting,
        "page": page,
        "runs": [run_view(run, request.user) for run in page],
        "worker": selectors.worker_alive(),
    }
    return render(request, "runs/list.html", context)


@require_safe
@never_cache
def run_detail(request: HttpRequest, run_id: str) -> HttpResponse:
    """Everything that this reader may know of a run."""
    return render(request, "runs/detail.html", _context(request, _get(run_id)))


@require_safe
@never_cache
def run_status(request: HttpRequest, run_id: str) -> HttpResponse:
    """The live part of the run page; status 286 tells the poller that there is no more to come."""
    run = _get(run_id)
    return render(request, "runs/_status.html", _context(request, run), status=STOP_POLLING if run.is_final else 200)


def _context(request: HttpRequest, run: Run) -> dict[str, Any]:
    view = run_view(run, request.user)
    exact = sees_exact_numbers(request.user, run)
    log = ""
    if sees_details(request.user, run):
        log = run_output(run, request.user, limit=1_000_000).text[-_LOG_SHOWN:] or view.log_tail[-_LOG_SHOWN:]
    events = [
        EventLine(
            label=RunState(event.to_state).label,
            state=event.to_state,
            at=event.at if exact else None,
            actor=event.actor if is_organiser(request.user) else event.actor.partition(":")[0],
            note=event.note,
        )
        for event in run.events.all()
    ]
    return {
        "run": view,
        "release": run.release,
        "submission": run.submission,
        "events": events,
        "steps": _steps(run),
        "place": queue_place(run),
        "worker": selectors.worker_alive() if run.state == RunState.QUEUED else None,
        "log": log,
        "exact": exact,
        "headline": [score for score in view.scores if score.headline] or view.scores,
        "more": [score for score in view.scores if not score.headline] if any(s.headline for s in view.scores) else [],
    }


def _steps(run: Run) -> list[tuple[str, str]]:
    """(label, done | now | todo) of each step; a run that ended badly has no step that is now."""
    at = next((place for place, (_, states) in enumerate(_STEPS) if run.state in states), None)
    if at is None:
        return []
    return [
        (label, "done" if place < at or run.state == RunState.SCORED else "now" if place == at else "todo")
        for place, (label, _) in enumerate(_STEPS)
    ]


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def run_log(request: HttpRequest, run_id: str) -> HttpResponse:
    """Log and failure of a run in full. On a hidden run an organiser asks for them with a POST, which is recorded."""
    run = _get(run_id)
    hidden = may_look(request.user, run)
    if not hidden and not sees_details(request.user, run):
        raise PermissionDenied("What a run printed is for its submitter on an open release, and for organisers.")
    output = run_output(run, request.user, limit=1_000_000) if not hidden or request.method == "POST" else None
    context = {"run": run_view(run, request.user), "hidden": hidden, "output": output}
    return render(request, "runs/log.html", context)


@require_safe
def run_receipt(request: HttpRequest, run_id: str) -> HttpResponse:
    """The receipt of a scored run as a file."""
    view = run_view(_get(run_id), request.user)
    if not view.receipt:
        raise Http404("The run has no receipt; only a scored run has one.")
    body = json.dumps(view.receipt, indent=2, ensure_ascii=False)
    response = HttpResponse(body + "\n", content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{run_id}-receipt.json"'
    return response


@login_required
@require_POST
def run_cancel(request: HttpRequest, run_id: str) -> HttpResponse:
    """Asks for a run to be stopped."""
    return _act(request, run_id, services.run_cancel, "The run is being cancelled.")


@login_required
@require_POST
def run_retry(request: HttpRequest, run_id: str) -> HttpResponse:
    """Puts a run that the platform failed back into the queue."""
    return _act(request, run_id, services.run_retry, "The run is back in the queue.")


def _act(request: HttpRequest, run_id: str, service: Any, done: str) -> HttpResponse:
    try:
        service(run=_get(run_id), user=cast(User, request.user))
    except Refused as refused:
        for problem in refused.problems:
            messages.error(request, f"{problem['field']} {problem['value']} {problem['problem']}: {problem['remedy']}.")
    else:
        messages.success(request, done)
    return redirect("runs:detail", run_id=run_id)
