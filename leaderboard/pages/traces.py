"""The trace of a run: a page of probes with the answers before and after, and the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from leaderboard.runs.models import Run
from leaderboard.runs.selectors import run_get
from leaderboard.traces import selectors
from leaderboard.traces.models import TraceFile

PAGE_ROWS = 20
_MARKS = ("leak", "refusal")
_TEXT = frozenset(
    "item_id subject_key kind split_role prompt reference response base_response base_correct aliases "
    "prompt_sha256".split()
)


@dataclass(frozen=True)
class ProbeLine:
    """One probe with the metrics that were run on it."""

    row: dict[str, Any]
    metrics: list[tuple[str, Any]]

    def cells(self, keys: Sequence[str]) -> list[Any]:
        found = dict(self.metrics)
        return [found.get(key) for key in keys]


def _trace(run_id: str) -> tuple[Run, TraceFile]:
    try:
        run = run_get(run_id=run_id)
    except Run.DoesNotExist:
        raise Http404(f"There is no run “{run_id}”.") from None
    trace = getattr(run, "trace", None)
    if trace is None:
        raise Http404(f"The run {run_id} has no trace; only a scored run has one.")
    if trace.redacted and not trace.sealed_path:
        raise Http404(f"The trace of the run {run_id} is being withheld: an older evaluator showed more of it.")
    return run, trace


@require_safe
def trace_browse(request: HttpRequest, run_id: str) -> HttpResponse:
    """Twenty probes at a time, by kind, leak and refusal; the address holds the whole state."""
    run, trace = _trace(run_id)
    kind = request.GET.get("kind", "")
    search = request.GET.get("q", "").strip()[:100]
    asked = {name: request.GET.get(name, "") for name in _MARKS}
    asked_page = request.GET.get("page", "1")
    number = max(1, int(asked_page)) if asked_page.isdecimal() and len(asked_page) < 7 else 1
    page = selectors.trace_page(
        trace,
        offset=(number - 1) * PAGE_ROWS,
        limit=PAGE_ROWS,
        kind=kind,
        search=search,
        marks={name: value == "yes" for name, value in asked.items() if value in {"yes", "no"}},
    )
    probes = [_line(row) for row in page.rows]
    metrics = list(dict.fromkeys(key for probe in probes for key, _ in probe.metrics))
    last = max(1, -(-page.total // PAGE_ROWS))
    state = {key: value for key, value in {"kind": kind, "q": search, **asked}.items() if value}
    context = {
        "run": run,
        "trace": trace,
        "probes": probes,
        "metrics": metrics,
        "table": [(probe.row, probe.cells(metrics)) for probe in probes] if trace.redacted else [],
        "page": page,
        "number": number,
        "last": last,
        "kind": kind,
        "search": search,
        "asked": asked,
        "before": "?" + urlencode({**state, "page": number - 1}) if number > 1 else "",
        "after": "?" + urlencode({**state, "page": number + 1}) if number < last else "",
        "filtered": bool(state),
    }
    return render(request, "traces/browse.html", context)


def _line(row: dict[str, Any]) -> ProbeLine:
    metrics = []
    for key, value in row.items():
        if key in _TEXT or value is None or isinstance(value, (list, str)):
            continue
        metrics.append((key, "yes" if value is True else "no" if value is False else value))
    return ProbeLine(row=row, metrics=metrics)


@require_safe
def trace_jsonl(request: HttpRequest, run_id: str) -> StreamingHttpResponse | HttpResponse:
    """The trace as gzipped JSON lines, converted while it is sent."""
    _, trace = _trace(run_id)
    response = StreamingHttpResponse(selectors.trace_jsonl_gz(trace), content_type="application/gzip")
    response["Content-Disposition"] = f'attachment; filename="{run_id}-trace.jsonl.gz"'
    response["ETag"] = f'"{trace.sha256}-jsonl"'
    return response


@require_safe
def trace_parquet(request: HttpRequest, run_id: str) -> FileResponse:
    """The trace as it is stored."""
    _, trace = _trace(run_id)
    response = FileResponse(
        selectors.trace_open(trace),
        as_attachment=True,
        filename=f"{run_id}-trace.parquet",
        content_type="application/vnd.apache.parquet",
    )
    response["ETag"] = f'"{trace.sha256}"'
    return response
