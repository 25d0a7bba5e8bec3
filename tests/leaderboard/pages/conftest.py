"""A published board of a few real submissions, hostile names included, and a run that a worker has scored."""

from __future__ import annotations

from typing import Any

import pytest

from leaderboard.benchmarks.models import Release
from leaderboard.boards.models import BoardSnapshot
from leaderboard.runs.models import Run
from leaderboard.worker import execute as worker
from tests.leaderboard.conftest import Submit

HOSTILE = '=HYPERLINK("http://evil")<script>alert(1)</script>'
COLUMNS = [
    ("overall", "Overall", "up", "overall", True),
    ("forgetting", "Forgetting", "up", "forget", True),
    ("locality", "Locality", "up", "retain", True),
    ("over_refusal", "Over-refusal", "down", "refusal", True),
    ("extraction_strength", "Extraction strength", "down", "erasure", False),
    ("unlearn_wall_s", "Unlearning time", "down", "cost", False),
]


def column_make(key: str, label: str, direction: str, group: str, headline: bool) -> dict[str, Any]:
    help_text = f"{label}, in one sentence <b>with a tag</b>."
    return {
        "key": key,
        "label": label,
        "direction": direction,
        "group": group,
        "help": help_text,
        "headline": headline,
        "version": f"{key}@1",
    }


def row_make(submission: Any, rank: int | None, scores: dict[str, float | None], **changes: Any) -> dict[str, Any]:
    row = {
        "rank": rank,
        "rank_low": rank,
        "rank_high": rank,
        "method": submission.method.name,
        "submission": submission.id,
        "division": submission.division,
        "kind": submission.method.kind,
        "scores": {
            key: {"value": v, "low": None if v is None else v - 0.05, "high": None if v is None else v + 0.05}
            for key, v in scores.items()
        },
        "method_slug": submission.method.slug,
        "version": submission.version,
        "paper": "",
        "code": "",
        "runs": [run.id for run in submission.runs.all()],
        "seeds": [0],
        "tied_with": [],
        "pareto": False,
        "stores_forget_text": False,
        "submitted_at": "2026-01-01T00:00:00+00:00",
    }
    return row | changes


def snapshot_make(release: Release, rows: list[dict[str, Any]], revision: int = 1) -> BoardSnapshot:
    payload = {
        "board": release.slug,
        "release": release.slug,
        "evaluator": "1.0",
        "revision": revision,
        "generated_at": "2026-01-01T00:00:00+00:00",
        "columns": [column_make(*column) for column in COLUMNS],
        "rows": rows,
    }
    return BoardSnapshot.objects.create(
        release=release, evaluator="1.0", revision=revision, payload=payload, inputs_sha256=f"{revision:064x}"
    )


@pytest.fixture
def board(submit: Submit, hidden: Release) -> BoardSnapshot:
    """Rank 1 is shared; the last has no overall score; one is a control; one has a hostile name."""
    good = submit(hidden, name="Good editing", kind="editing")
    close = submit(hidden, name=HOSTILE, kind="unlearning")
    system = submit(hidden, name="Retrieval", kind="retrieval", division="system")
    control = submit(hidden, name="Refuse everything", kind="control")
    broken = submit(hidden, name="Half measured", kind="editing")
    full: dict[str, float | None] = {
        "overall": 0.8,
        "forgetting": 0.9,
        "locality": 0.85,
        "over_refusal": 0.1,
        "extraction_strength": 0.3,
    }
    rows = [
        row_make(good, 1, full | {"unlearn_wall_s": 12.5}, rank_high=2, tied_with=[close.id]),
        row_make(
            close,
            1,
            full | {"overall": 0.78, "forgetting": 0.7, "over_refusal": 0.12},
            rank_high=2,
            tied_with=[good.id],
        ),
        row_make(system, 3, full | {"overall": 0.6, "forgetting": 0.8, "locality": 0.95, "over_refusal": 0.05}),
        row_make(control, 4, full | {"overall": 0.2, "forgetting": 1.0, "locality": 0.05, "over_refusal": 1.0}),
        row_make(broken, None, {"overall": None, "forgetting": 0.5, "locality": None, "over_refusal": None}),
    ]
    return snapshot_make(hidden, rows)


def work(submit: Submit, release: Release, **manifest: Any) -> Run:
    """A run of a new submission, taken through the real worker."""
    submission = submit(release, **manifest)
    worker.work_until_empty()
    return submission.runs.get()


@pytest.fixture
def open_run(submit: Submit, public: Release) -> Run:
    return work(submit, public)


@pytest.fixture
def hidden_run(submit: Submit, hidden: Release) -> Run:
    return work(submit, hidden)
