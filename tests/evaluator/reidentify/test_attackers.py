"""Attackers on worlds that are made up: what plain means and rows give away, and what is left of the base does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from evaluator.contract import MetricScore, ReleaseCard, Scorecard
from evaluator.contract.values import COMPARED, VALUE_NAMES, names_of
from evaluator.reidentify.attackers import PLAIN_MEANS, VERBATIM, Seen, by_means, by_rows, by_text, guesses
from evaluator.reidentify.candidates import Candidates
from evaluator.reidentify.publication import Publication, Published
from evaluator.reidentify.verdict import verdict

N, SIZE = 120, 6
SHARES, MARKS = names_of("share"), names_of("mark")
OLD = {version.split("@")[0]: version for version in PLAIN_MEANS}


@pytest.fixture(scope="module")
def candidates() -> Candidates:
    rng = np.random.default_rng(5)
    rows = []
    for number in range(N):
        row: dict[str, Any] = dict.fromkeys(VALUE_NAMES, None) | {"subject": f"Land{number}", "kind": "verbatim"}
        row |= {name: float(rng.beta(1, 2)) for name in SHARES} | dict.fromkeys(MARKS, 0.0)
        rows.append(row | {"leak": 1.0, "correct": 1.0, "condition": ""})
    return Candidates(tuple(f"r:Land{number}" for number in range(N)), tuple(rows))


def card() -> ReleaseCard:
    return ReleaseCard(
        slug="w-6", benchmark="w", title="W", track="pretrained", split="hidden", size=SIZE, version="1",
        base_name="b", base_sha256="b" * 64, content_sha256="c" * 64, probe_counts={"verbatim": SIZE}, n_subjects=SIZE,
        licence="CC0-1.0", sources=("made up",), created_at="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


def published(rows: Sequence[Mapping[str, Any]], scores: Mapping[str, tuple[float, str]]) -> Published:
    found = tuple(
        MetricScore(key=key, version=version, value=round(value, 2), low=None, high=None)
        for key, (value, version) in scores.items()
    )
    scorecard = Scorecard(
        run_id="r", release="w-6", evaluator="0", seed=0, division="weights", stores_forget_text=False, metrics=(),
        scores=found,
    )  # fmt: skip
    return Published(scorecard, tuple(rows))


def seen(candidates: Candidates, entries: Mapping[str, Published], texts: tuple[str, ...] = (), **more: Any) -> Seen:
    return Seen(candidates, np.full(N, SIZE / N), Publication(card(), entries, texts), **more)


def outcomes(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [dict(row) | dict.fromkeys((*SHARES, "subject"), None) for row in rows]


def draws(count: int, seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [[int(i) for i in rng.choice(N, SIZE, replace=False)] for _ in range(count)]


def keys(candidates: Candidates, draw: Sequence[int]) -> frozenset[str]:
    return frozenset(candidates.keys[i] for i in draw)


OTHERS = draws(2000, seed=9)


def p_of(candidates: Candidates, attacker: Any, publications: Sequence[Seen], truths: Sequence[Sequence[int]]) -> float:
    named = [guesses(one, attacker) for one in publications]
    others = [keys(candidates, draw) for draw in OTHERS]
    return verdict("x", named, [keys(candidates, truth) for truth in truths], others).p


def test_rows_that_show_values_name_every_fact(candidates: Candidates) -> None:
    truth = draws(1)[0]
    shown = [
        {k: round(v, 3) if k in SHARES and v is not None else v for k, v in candidates.rows[i].items()} for i in truth
    ]
    one = seen(candidates, {"base": published(shown, {})})
    assert set(guesses(one, by_rows)) == keys(candidates, truth)


def test_rows_of_outcomes_name_nothing(candidates: Candidates) -> None:
    truths = draws(3)
    hidden = [
        seen(candidates, {"base": published(outcomes([candidates.rows[i] for i in truth]), {})}) for truth in truths
    ]
    assert p_of(candidates, by_rows, hidden, truths) > 0.05


def plain_means(candidates: Candidates, truth: Sequence[int]) -> dict[str, tuple[float, str]]:
    return {key: (float(candidates.values(key)[truth].mean()), OLD[key]) for key in VERBATIM}


def test_plain_means_of_the_base_name_more_than_chance(candidates: Candidates) -> None:
    truths = draws(12)
    hidden = [seen(candidates, {"base": published([], plain_means(candidates, truth))}) for truth in truths]
    assert p_of(candidates, by_means, hidden, truths) < 0.01


def test_what_is_left_of_the_base_names_nothing(candidates: Candidates) -> None:
    truths = draws(12)
    left = {key: (1.0, f"{key}@9") for key in VERBATIM}
    assert set(VERBATIM) <= set(COMPARED)
    hidden = [seen(candidates, {"base": published([], left)}) for _ in truths]
    assert p_of(candidates, by_means, hidden, truths) > 0.05


def test_an_entry_whose_values_follow_from_the_bases_is_as_good_as_the_base(candidates: Candidates) -> None:
    """A guard in front of the base shows the base's own means; the public split tells that it does."""
    truths, public = draws(12), draws(1, seed=3)[0]

    def row(i: int, half: bool) -> dict[str, Any]:
        named = dict(candidates.rows[i]) | {"item_id": str(i)}
        return named | {name: named[name] / 2 + 0.1 for name in SHARES} if half else named

    told = Publication(
        card(), {name: published([row(i, name == "guard") for i in public], {}) for name in ("base", "guard")}, ()
    )
    hidden = []
    for truth in truths:
        means = {key: (value / 2 + 0.1, version) for key, (value, version) in plain_means(candidates, truth).items()}
        hidden.append(seen(candidates, {"guard": published([], means)}, public=told))
    assert p_of(candidates, by_means, hidden, truths) < 0.01


def test_a_subject_that_stands_in_a_published_text_is_named(candidates: Candidates) -> None:
    one = seen(candidates, {}, texts=('{"log": "Land7 was asked, Land77x was not"}',))
    assert guesses(one, by_text)[0] == "r:Land7"
    assert np.flatnonzero(by_text(one)).tolist() == [7]


def test_a_verdict_is_told_by_other_draws() -> None:
    others = [frozenset({"a"}), frozenset({"b"}), frozenset({"c"}), frozenset({"d"})]
    one = verdict("x", [["a"], ["b"]], [frozenset({"a"}), frozenset({"b"})], others)
    assert (one.guesses, one.hits, one.chance, one.p) == (2, 2, 0.5, 1 / 16)
    assert verdict("x", [["a"], ["b"]], [frozenset({"z"})] * 2, others).p == 1
    assert verdict("x", [["a"], ["b"]], [frozenset({"a"}), frozenset({"b"})], others, attackers=3).p == 3 / 16
    assert not one.succeeded
    with pytest.raises(ValueError, match="draws"):
        verdict("x", [], [], [])
