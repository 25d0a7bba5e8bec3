"""The front page, the methodology and the submission contract."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from evaluator.contract import FailureCode
from evaluator.contract.disclosure import DURATION_STEPS, HIDDEN_DECIMALS, score_bits, trace_bits
from evaluator.contract.kinds import KINDS
from evaluator.contract.values import HAR_FORMULA
from leaderboard.benchmarks.models import Release, ReleaseState
from leaderboard.boards.selectors import BoardLine, board_list
from leaderboard.boards.table import BoardQuery, Column, columns_read, entries_read, table_build
from leaderboard.core.markdown import markdown_render
from leaderboard.runs.states import FINAL

_HOME_COLUMNS = ("overall", "forgetting", "locality", "har")
_HOME_ROWS = 5
#: Ends that only a watch shows: that of the unlearning, and that of the measuring, which a server can draw out.
_ENDS_WATCHED = 2


def _front_board(lines: list[BoardLine]) -> BoardLine | None:
    """The board of the front page: a hidden split before a public one, then one that has not retired, then the fullest,
    then the newest.
    """
    published = [line for line in lines if line.snapshot is not None]
    return max(
        published,
        key=lambda line: (
            line.release.is_hidden,
            line.release.state != ReleaseState.RETIRED,
            line.n_rows,
            line.snapshot.created_at if line.snapshot else 0,
        ),
        default=None,
    )


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What this is, who leads, and how to take part."""
    lines = board_list()
    front = _front_board(lines)
    table, reference = None, None
    if front is not None and front.snapshot is not None:
        columns = columns_read(front.snapshot.shown)
        entries = entries_read(front.snapshot.shown)
        query = BoardQuery(columns=tuple(key for key in _HOME_COLUMNS if key in {c.key for c in columns}))
        table = table_build(query=query, columns=columns, entries=entries)
        controls = [entry.score("overall").value for entry in entries if entry.is_control]
        reference = max((value for value in controls if value is not None), default=None)
        table = table.first(_HOME_ROWS)
    context = {"lines": lines, "front": front, "table": table, "reference": reference}
    return render(request, "core/home.html", context)


def _rate(release: Release, name: str) -> str:
    """ "17 of 20": of how many probes that were tried the base gave the answer; empty where nothing was tried."""
    found = release.base_rates.get(name)
    return f"{found[0]} of {found[1]}" if found else ""


@require_safe
def methodology(request: HttpRequest) -> HttpResponse:
    """What is measured and how, from the newest snapshot's own description of its columns."""
    front = _front_board(board_list())
    columns = columns_read(front.snapshot.shown) if front and front.snapshot else ()
    groups: dict[str, list[tuple[Column, str]]] = {}
    for column in columns:
        rate = _rate(front.release, column.key) if front else ""
        groups.setdefault(column.group_label, []).append((column, rate))
    n_probes = sum(front.release.probe_counts.values()) if front else 0
    context = {
        "front": front,
        "groups": list(groups.items()),
        "n_columns": len(columns),
        "kinds": [(kind, _rate(front.release, kind.kind) if front else "") for kind in KINDS],
        "decimals": HIDDEN_DECIMALS,
        "har_formula": HAR_FORMULA,
        "bits_each": math.ceil(score_bits()),
        "bits_scores": math.ceil(score_bits() * len(columns)),
        "bits_end": math.ceil(math.log2((len(FailureCode) + len(FINAL)) * len(DURATION_STEPS))),
        "bits_clock": _ENDS_WATCHED * math.ceil(math.log2(settings.RUN_WALL_S / settings.RUN_POLL_S)),
        "n_codes": len(FailureCode),
        "n_hidden_runs": settings.HIDDEN_RUNS_PER_RELEASE,
        "n_probes": n_probes,
        "bits_trace": math.ceil(trace_bits(front.release.probe_counts)) if front else 0,
    }
    return render(request, "core/methodology.html", context)


@lru_cache(maxsize=4)
def _document(path: Path, _changed_ns: int) -> str:
    return markdown_render(path.read_text(encoding="utf-8"))


@require_safe
def contract(request: HttpRequest) -> HttpResponse:
    """The submission contract, from `docs/contract.md`."""
    path = Path(settings.REPO) / "docs" / "contract.md"
    try:
        html = _document(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        raise Http404("The contract document is not installed.") from None
    return render(request, "core/document.html", {"title": "The submission contract", "html": html})
