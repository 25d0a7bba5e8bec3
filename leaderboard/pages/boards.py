"""Pages of the boards: each one is a reading of one snapshot."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from csp.constants import UNSAFE_INLINE
from csp.decorators import csp_update
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.cache import get_conditional_response
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from evaluator.contract.disclosure import HIDDEN_DECIMALS
from leaderboard.accounts.viewers import is_organiser
from leaderboard.benchmarks.models import Release
from leaderboard.benchmarks.selectors import release_get, release_rounds
from leaderboard.boards import exports, selectors
from leaderboard.boards.compare import MAX_METHODS, comparison_build
from leaderboard.boards.figures import forget_against_retain
from leaderboard.boards.models import BoardSnapshot
from leaderboard.boards.sensitivity import sensitivity_build
from leaderboard.boards.table import BoardQuery, columns_read, entries_read, table_build
from leaderboard.boards.unbeaten import unbeaten_find
from leaderboard.methods.models import Division, Kind
from leaderboard.runs.seconds import seconds_medians

_TABLE_CACHE_S = 3600
_TABLE_TEMPLATE = "boards/_results.html"
_TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "tex": "application/x-tex; charset=utf-8",
    "bib": "text/x-bibtex; charset=utf-8",
}
#: The two axes of the scatter, first choice first.
_AXES = (("forgetting",), ("locality", "retain_locality"))


def _snapshot(slug: str, *, revision: int | None, evaluator: str) -> BoardSnapshot | None:
    """The snapshot that an address names, or None when nothing is published yet. Raises `Http404`."""
    snapshot = selectors.board_latest(release_slug=slug, evaluator=evaluator or None)
    if snapshot is None:
        if evaluator or revision is not None:
            raise Http404(f"There is no such snapshot of the board “{slug}”.")
        return None
    if revision is None or revision == snapshot.revision:
        return snapshot
    try:
        return selectors.board_revision(release_slug=slug, evaluator=evaluator or snapshot.evaluator, revision=revision)
    except BoardSnapshot.DoesNotExist:
        raise Http404(f"The board “{slug}” has no revision {revision}; the newest is {snapshot.revision}.") from None


def _release(slug: str) -> Release:
    try:
        return release_get(slug=slug)
    except Release.DoesNotExist:
        raise Http404(f"There is no board “{slug}”.") from None


@require_safe
def board_list(request: HttpRequest) -> HttpResponse:
    """Every board with the first of its ranking."""
    lines: list[dict[str, Any]] = []
    for line in selectors.board_list():
        entries = entries_read(line.snapshot.shown) if line.snapshot else ()
        top = [entry for entry in entries if entry.rank is not None and not entry.is_control][:3]
        lines.append({"release": line.release, "snapshot": line.snapshot, "top": top, "n": len(entries)})
    lines.sort(key=lambda item: (item["release"].split != "hidden", item["snapshot"] is None))
    return render(request, "boards/list.html", {"lines": lines})


@require_safe
@csp_update({"style-src": [UNSAFE_INLINE]})  # type: ignore[arg-type]  # Plotly writes a style element of its own
def board_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """The ranking, the plot and everything that one needs to cite or to question it."""
    probe = BoardQuery.parse(request.GET, columns=())
    snapshot = _snapshot(slug, revision=probe.revision, evaluator=probe.evaluator)
    if snapshot is None:
        return render(request, "boards/empty.html", {"release": _release(slug)})
    columns = columns_read(snapshot.shown)
    query = BoardQuery.parse(request.GET, columns=columns)
    results = _results(snapshot, query)
    if request.htmx and request.htmx.target == "board-results":  # type: ignore[attr-defined]
        return _vary(HttpResponse(results))
    history = list(selectors.board_history(release_slug=slug)[:20])
    entries, axes = entries_read(snapshot.shown), _axes(columns)
    context = {
        "release": snapshot.release,
        "rounds": release_rounds(snapshot.release),
        "snapshot": snapshot,
        "latest": history[0] if history else snapshot,
        "history": history,
        "query": query,
        "results": results,
        "picker": _picker(columns, query.shown(columns)),
        "columns": columns,
        "kinds": Kind.choices,
        "divisions": Division.choices,
        "has_controls": any(entry.is_control for entry in entries),
        "pinned": f"?revision={snapshot.revision}&evaluator={snapshot.evaluator}",
        "bibtex": _bibtex(request, snapshot),
        "sensitivity": sensitivity_build(columns, entries),
        "unbeaten": unbeaten_find(snapshot.shown),
        "axes": axes,
        "points": [(entry, [entry.score(axis.key) for axis in axes or ()]) for entry in entries],
    }
    return _vary(render(request, "boards/detail.html", context))


@login_required
@require_safe
@never_cache
def board_seconds(request: HttpRequest, slug: str) -> HttpResponse:
    """Where the seconds of a board's runs went, for organisers."""
    if not is_organiser(request.user):
        raise PermissionDenied("Where the seconds of a board's runs went is for organisers.")
    release = _release(slug)
    context = {"release": release, "divisions": seconds_medians(release_slug=release.slug)}
    return render(request, "boards/seconds.html", context)


def _vary(response: HttpResponse) -> HttpResponse:
    response["Vary"] = "HX-Request, HX-Target, Cookie"
    return response


@lru_cache(maxsize=1)
def _template_sha256() -> str:
    """A new look makes new cache keys, also in a cache that outlives the process."""
    return hashlib.sha256((Path(settings.REPO) / "templates" / _TABLE_TEMPLATE).read_bytes()).hexdigest()


def _results(snapshot: BoardSnapshot, query: BoardQuery) -> str:
    """The table as HTML; the same for every reader, so it is rendered once for each snapshot and query."""
    seen = "whole" if snapshot.release.is_open else HIDDEN_DECIMALS
    told = f"{snapshot.pk} {snapshot.created_at.isoformat()} {seen} {query.url} {_template_sha256()}"
    key = f"board-table:{hashlib.sha256(told.encode()).hexdigest()[:40]}"
    html: str | None = cache.get(key)
    if html is None:
        columns = columns_read(snapshot.shown)
        entries = entries_read(snapshot.shown)
        table = table_build(query=query, columns=columns, entries=entries)
        reference = [e.score("overall").value for e in entries if e.is_control]
        html = render_to_string(
            _TABLE_TEMPLATE,
            {
                "table": table,
                "query": query,
                "slug": snapshot.release.slug,
                "mde": snapshot.shown.get("mde"),
                "reference": max((value for value in reference if value is not None), default=None),
                "by_rank": query.sorted_by("rank").url,
                "by_method": query.sorted_by("method").url,
                "clear": BoardQuery(sort=query.sort, columns=query.columns, revision=query.revision).url,
            },
        )
        cache.set(key, html, _TABLE_CACHE_S)
    return html


def _picker(columns: tuple[Any, ...], shown: tuple[Any, ...]) -> list[tuple[str, list[tuple[Any, bool]]]]:
    groups: dict[str, list[tuple[Any, bool]]] = {}
    for column in columns:
        groups.setdefault(column.group_label, []).append((column, column in shown))
    return list(groups.items())


def _axes(columns: tuple[Any, ...]) -> tuple[Any, Any] | None:
    by_key = {column.key: column for column in columns}
    found = [next((by_key[key] for key in choice if key in by_key), None) for choice in _AXES]
    return (found[0], found[1]) if found[0] and found[1] else None


def _bibtex(request: HttpRequest, snapshot: BoardSnapshot) -> str:
    address = request.build_absolute_uri(
        f"/boards/{snapshot.release.slug}/?revision={snapshot.revision}&evaluator={snapshot.evaluator}"
    )
    return exports.bibtex(
        key=f"palimpsest-{snapshot.release.slug}-r{snapshot.revision}",
        title=f"Palimpsest: {snapshot.release.title}",
        url=address,
        year=str(snapshot.created_at.year),
        note=f"Board revision {snapshot.revision}, evaluator {snapshot.evaluator}, "
        f"release {snapshot.release.content_sha256[:16]}, {snapshot.created_at:%Y-%m-%d}",
    )


@require_safe
def board_export(request: HttpRequest, slug: str, form: str) -> HttpResponse:
    """The snapshot as a file. A pinned one (`?revision=&evaluator=`) may be kept for ever."""
    query = BoardQuery.parse(request.GET, columns=())
    snapshot = _snapshot(slug, revision=query.revision, evaluator=query.evaluator)
    if snapshot is None:
        raise Http404(f"Nothing is published on the board “{_release(slug).slug}” yet.")
    etag = f'"{snapshot.pk}-{snapshot.inputs_sha256[:16]}-{form}"'
    response = get_conditional_response(request, etag=etag)
    if not isinstance(response, HttpResponse):
        writers = {
            "json": exports.board_json,
            "csv": exports.board_csv,
            "parquet": exports.board_parquet,
            "tex": exports.board_latex,
        }
        body = _bibtex(request, snapshot).encode() if form == "bib" else writers[form](snapshot.shown)
        response = HttpResponse(body, content_type=_TYPES[form])
        response["Access-Control-Allow-Origin"] = "*"
        if form != "json":
            response["Content-Disposition"] = f'attachment; filename="{slug}-r{snapshot.revision}.{form}"'
    pinned = query.revision is not None and query.evaluator
    response["ETag"] = etag
    response["Cache-Control"] = "public, max-age=31536000, immutable" if pinned else "public, no-cache"
    return response


@require_safe
def board_scatter(request: HttpRequest, slug: str) -> HttpResponse:
    """The forget-against-retain figure as Plotly JSON."""
    query = BoardQuery.parse(request.GET, columns=())
    snapshot = _snapshot(slug, revision=query.revision, evaluator=query.evaluator)
    axes = _axes(columns_read(snapshot.shown)) if snapshot else None
    if snapshot is None or axes is None:
        raise Http404(f"The board “{slug}” has nothing to plot.")
    response = JsonResponse(forget_against_retain(entries_read(snapshot.shown), x=axes[0], y=axes[1]))
    response["Cache-Control"] = "public, no-cache"
    response["ETag"] = f'"{snapshot.pk}-scatter-1"'
    return response


@require_safe
def compare(request: HttpRequest) -> HttpResponse:
    """Two to five methods of one board, metric by metric."""
    lines = [line for line in selectors.board_list() if line.snapshot is not None]
    asked = [name for name in request.GET.getlist("m") if name][:MAX_METHODS]
    slug = request.GET.get("board", "")
    with_all = [line for line in lines if line.snapshot and _holds(line.snapshot, asked)]
    line = next((line for line in lines if line.release.slug == slug), None)
    if slug and line is None:
        raise Http404(f"There is no published board “{slug}”.")
    line = line or next((li for li in with_all if li.release.is_hidden), None) or next(iter(with_all or lines), None)
    comparison = None
    if line is not None and line.snapshot is not None:
        comparison = comparison_build(payload=line.snapshot.shown, asked=asked)
    context = {"lines": lines, "line": line, "asked": asked, "comparison": comparison, "max_methods": MAX_METHODS}
    return render(request, "boards/compare.html", context)


def _holds(snapshot: BoardSnapshot, asked: list[str]) -> bool:
    there = {name for entry in entries_read(snapshot.shown) for name in (entry.method_slug, entry.submission)}
    return all(name in there for name in asked)
