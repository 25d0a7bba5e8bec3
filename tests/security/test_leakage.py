"""How much one submission can carry out of a hidden split: what is shown is counted, and the page states that count."""

from __future__ import annotations

import math
import re
from collections import Counter
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import Client
from django.utils import timezone

from evaluator.contract import FailureCode
from evaluator.contract.disclosure import (
    HIDDEN_DECIMALS,
    SHOWN_NUMBERS,
    TEXT_FLOOR_NATS,
    cost_step,
    number_shown,
    score_bits,
    score_shown,
    trace_bits,
)
from evaluator.contract.values import VALUE_NAMES, names_of
from evaluator.measures.score import cost_shown
from evaluator.trace.table import TRACE_SCHEMA, WITHHELD, trace_redact
from leaderboard.benchmarks.models import Release
from leaderboard.runs.models import Run
from leaderboard.runs.policies import run_view
from leaderboard.runs.selectors import run_get
from leaderboard.worker import execute as worker
from tests.leaderboard.conftest import _site, hidden, submit, user  # noqa: F401
from tests.leaderboard.pages.conftest import snapshot_make

PROBE_MARKS, PROBE_VALUES, TEXT_VALUES = names_of("mark"), names_of("share"), names_of("nats")
UNIT = np.linspace(0, 1, 100_001)
PERPLEXITIES = np.geomspace(1, math.exp(-TEXT_FLOOR_NATS), 100_001)


def numbers_of(text: str, pattern: str) -> list[int]:
    found = re.search(pattern, re.sub(r"\s+", " ", text))
    assert found, pattern
    return [int(number.replace(",", "")) for number in found.groups()]


def row_of(kind: str, rng: np.random.Generator) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(TRACE_SCHEMA.names, None)
    names = TEXT_VALUES if kind == "text" else (*PROBE_MARKS, *PROBE_VALUES)
    row |= {"item_id": str(rng.integers(2**60)), "subject_key": "s", "kind": kind, "base_correct": True}
    row |= dict.fromkeys(WITHHELD, "hidden") | {"response": "x" * 10}
    for name in names:
        row[name] = float(rng.integers(2)) if name in PROBE_MARKS else float(rng.random())
    if kind == "text":
        row["text_logprob"], row["text_gain"] = (
            rng.uniform(TEXT_FLOOR_NATS, 0),
            rng.uniform(TEXT_FLOOR_NATS, -TEXT_FLOOR_NATS),
        )
    return row


def test_a_score_is_one_of_as_many_numbers_as_are_counted() -> None:
    for exact in (UNIT, PERPLEXITIES):
        by_evaluator = {score_shown(float(value)) for value in exact}
        assert len(by_evaluator) <= SHOWN_NUMBERS
        assert {number_shown(value, group="overall") for value in by_evaluator} == by_evaluator, (
            "the site adds no digit"
        )
    every = {score_shown(float(value)) for value in (*UNIT, *PERPLEXITIES)}
    assert SHOWN_NUMBERS - 1 <= len(every) <= SHOWN_NUMBERS, "and no fewer, or the count is wrong"
    assert score_bits() == pytest.approx(3 * math.log2(641))


def test_a_cost_is_one_of_a_few_numbers() -> None:
    seconds = np.geomspace(0.01, 7200, 100_001)
    shown = {cost_shown(float(value), "hidden") for value in seconds}
    assert len(shown) == 19  # 0.01, 0.02, 0.05, 0.1 … 5000, 10000
    assert {number_shown(value, group="cost") for value in shown} == shown
    assert all(cost_step(value) == value for value in shown if value is not None)
    assert math.log2(len(shown)) < score_bits()


def test_a_hidden_runs_trace_holds_counts_of_outcomes_and_nothing_else() -> None:
    assert {*PROBE_MARKS, *PROBE_VALUES, *TEXT_VALUES} == set(VALUE_NAMES)
    rng = np.random.default_rng(0)
    rows = [row_of(kind, rng) for kind in ("verbatim", "text") for _ in range(2000)]
    one, other = trace_redact(rows, b"key", run_id="one"), trace_redact(rows, b"key", run_id="other")
    for row in one:
        said = {name for name in TRACE_SCHEMA.names if row[name] is not None}
        assert said <= {"item_id", "kind", "split_role", "condition", "base_correct", *PROBE_MARKS}
        assert all(row[name] in {0.0, 1.0} for name in PROBE_MARKS if row[name] is not None)
    assert trace_redact(rows, b"key", run_id="one") == one, "done again, it is the same file"
    names = [{row["item_id"] for row in shown} for shown in (one, other)]
    assert not names[0] & names[1]

    def counted(shown: list[dict[str, Any]]) -> dict[tuple[Any, ...], int]:
        return Counter(tuple((name, row[name]) for name in row if name != "item_id") for row in shown)

    assert counted(one) == counted(other)
    # The order is that of the names: whoever shuffles the probes changes nothing.
    assert trace_redact(rows[::-1], b"key", run_id="one") == one
    classes = 2 ** len(PROBE_MARKS)
    assert trace_bits({"verbatim": 30, "text": 6}) == pytest.approx(math.log2(math.comb(30 + classes - 1, 30)))


@pytest.mark.django_db
def test_a_duration_is_one_of_five_words_and_an_end_has_no_time(submit: Any, hidden: Release) -> None:  # noqa: F811
    run = submit(hidden).runs.get()
    worker.work_until_empty()
    began, words = timezone.now(), set()
    for seconds in [*range(0, 9000, 90), 59, 61, 299, 301, 899, 901, 3599, 3601]:
        Run.objects.filter(id=run.id).update(started_at=began, finished_at=began + timedelta(seconds=seconds))
        view = run_view(run_get(run_id=run.id), AnonymousUser())
        words.add(view.duration)
        assert view.finished_at is None
    assert words == {"under 1 min", "1–5 min", "5–15 min", "15–60 min", "over 1 h"}


@pytest.mark.django_db
def test_the_methodology_page_states_these_counts(client: Client, hidden: Release, settings: Any) -> None:  # noqa: F811
    Release.objects.update(probe_counts={"verbatim": 30, "text": 6})
    hidden.refresh_from_db()
    snapshot = snapshot_make(hidden, [])
    columns = len(snapshot.payload["columns"])
    page = client.get("/methodology/").content.decode()
    codes, decimals = numbers_of(page, r"closed list of (\d+), scores rounded to (\d+) decimals")
    assert (codes, decimals) == (len(FailureCode), HIDDEN_DECIMALS)
    (each,) = numbers_of(page, r"at most (\d+) bits, so")
    (shown, whole) = numbers_of(page, r"the (\d+) columns of the current board can hold at most ([\d,]+)")
    assert (each, shown, whole) == (math.ceil(score_bits()), columns, math.ceil(score_bits() * columns))
    (trace, probes) = numbers_of(page, r"which is ([\d,]+) bits at most for the ([\d,]+) probes")
    assert (trace, probes) == (math.ceil(trace_bits({"verbatim": 30, "text": 6})), 36)
    ends, clock = numbers_of(page, r"bucket of time is (\d+) bits.*measuring end: (\d+) bits")
    assert ends == math.ceil(math.log2((16 + 5) * 5))
    assert clock == 2 * math.ceil(math.log2(settings.RUN_WALL_S / settings.RUN_POLL_S))
