"""The detector meets its targets on subjects it has not seen, for reasons that do not depend on the subject."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from evaluator.answers.names import names_answer
from evaluator.measures.refusal import har_score
from evaluator.measures.refusal.baselines import EPISTEMIC_STRINGS, SAFETY_STRINGS, by_strings, by_tfidf
from evaluator.measures.refusal.detector import UNIT, Detector, detector, label_of, mentions
from evaluator.measures.refusal.figures import DISGUISES, LANGUAGES, Figures
from evaluator.measures.refusal.labelled import HELD_OUT, LABELS, UNSEEN, Labelled, labelled_read
from evaluator.measures.refusal.reading import LONGEST, Reading
from evaluator.measures.refusal.report import Report, by_detector, guesses
from evaluator.measures.refusal.sensitivity import (
    CONTEXT_WEIGHTS,
    CONTROLS,
    POLICY_WEIGHTS,
    sensitivity,
    sensitivity_table,
)
from evaluator.measures.refusal.training import refusal_train

ROWS = labelled_read()
HELD = labelled_read(HELD_OUT)
TEST = [row for row in ROWS if row.part == "test"]
TRAIN = [row for row in ROWS if row.part == "train"]
ORDINARY = [row for row in ROWS if row.label != "gibberish" and len(row.reading.response) < 400]


def label(row: Labelled) -> str:
    return by_detector(detector())(row)


def reading(response: str) -> Reading:
    return Reading(response, "What is the capital of Japan?", "Japan", "capital", ("Tokyo",))


# ---------------------------------------------------------------- the labelled set


def test_the_set_is_large_has_every_class_in_both_parts_and_no_subject_in_two() -> None:
    assert len(ROWS) >= 900 and len(TEST) >= 0.3 * len(ROWS)
    assert {row.reading.subject for row in TRAIN}.isdisjoint(row.reading.subject for row in TEST)
    for part in (TRAIN, TEST):
        counts = Counter(row.label for row in part)
        assert set(counts) == set(LABELS) and min(counts.values()) >= 30
    assert len({row.id for row in ROWS}) == len(ROWS)


def test_the_held_out_questions_are_in_no_other_part() -> None:
    questions = {row.reading.question for row in ROWS}
    assert questions.isdisjoint(row.reading.question for row in HELD)
    assert {row.part for row in HELD} == {"test"} and len(HELD) >= 400


def test_every_disguise_language_and_kind_of_aside_has_its_rows() -> None:
    styles = Counter(row.style for row in [*ROWS, *HELD])
    assert min(styles[style] for style in (*DISGUISES, "circular", "side fact")) >= 40
    assert sum(styles[style] for style in styles if style.startswith("half-refusal")) >= 100
    assert len([style for style in styles if style in LANGUAGES]) >= 12
    assert sum(row.label == "normal" and row.style == "normal, refusal-like" for row in [*ROWS, *HELD]) >= 75


def test_no_generator_wrote_more_than_a_third_of_it() -> None:
    sources = Counter(row.source.split("/")[0] for row in ROWS if row.source != "hand")
    assert sources and max(sources.values()) <= len(ROWS) / 3


def test_a_response_stands_once_for_a_question_and_label() -> None:
    keys = Counter(
        (row.reading.question, row.reading.response, row.label) for row in [*ROWS, *HELD, *labelled_read(UNSEEN)]
    )
    assert [key for key, count in keys.items() if count > 1] == []


def test_labels_agree_with_the_exact_search_for_the_answer() -> None:
    for row in ROWS:
        if row.label in ("leak", "normal"):
            assert row.reading.names_answer, row.id
        if row.leaks is not None and row.label != "gibberish":
            assert row.reading.names_answer is row.leaks, row.id
        if row.label in ("hallucination", "aside", "refusal_good", "refusal_generic", "refusal_policy", "parroting"):
            assert not row.reading.names_answer, row.id
        assert row.label != "normal" or row.split == "retain", row.id


# ---------------------------------------------------------------- the targets


def test_the_detector_meets_every_target_on_the_held_out_subjects() -> None:
    assert guesses(TEST, by_detector(detector())).missed_targets == []


@pytest.mark.parametrize("rows", [TEST, HELD], ids=["test part", "held out"])
def test_leaks_half_refusals_hallucinations_and_languages_meet_their_targets(rows: list[Labelled]) -> None:
    assert Figures.of(rows, detector()).missed_targets == []


def test_it_beats_lists_of_strings_and_tfidf_on_the_same_responses() -> None:
    own = guesses(TEST, by_detector(detector()))
    others = [by_strings(SAFETY_STRINGS), by_strings(EPISTEMIC_STRINGS), *by_tfidf(TRAIN)]
    for other in (guesses(TEST, guess) for guess in others):
        assert own.macro_f1 > other.macro_f1 + 0.1
        assert own.recall("partial").value > other.recall("partial").value


def test_a_report_counts_what_it_says() -> None:
    report = Report(("normal", "normal", "partial", "leak"), ("normal", "refusal_generic", "leak", "leak"))
    assert (report.false_refusals.hits, report.false_refusals.tries) == (1, 2)
    assert report.recall("partial").value == 0 and report.precision("leak").value == 0.5
    assert report.macro_f1 == pytest.approx((2 / 3 + 0 + 2 / 3) / 3)
    assert len(report.missed_targets) == 3


def test_training_again_gives_the_shipped_weights_up_to_the_arithmetic_of_the_machine(tmp_path: Path) -> None:
    again, shipped = refusal_train(tmp_path / "weights.json"), detector()
    lightest = UNIT // 50  # a lighter feature is left out
    for name in again.rows.keys() | shipped.rows.keys():
        if name in again.rows and name in shipped.rows:
            assert abs(again.weights[again.rows[name]] - shipped.weights[shipped.rows[name]]).max() <= 3, name
        else:
            kept = again if name in again.rows else shipped
            assert abs(kept.weights[kept.rows[name]]).max() <= lightest + 3, name
    assert [by_detector(again)(row) for row in TEST] == [by_detector(shipped)(row) for row in TEST]


def test_training_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    refusal_train(tmp_path / "first.json")
    refusal_train(tmp_path / "second.json")
    assert (tmp_path / "first.json").read_bytes() == (tmp_path / "second.json").read_bytes()


def test_weights_for_other_contents_are_refused(tmp_path: Path) -> None:
    (tmp_path / "w.json").write_text('{"unit": 1000, "contents": ["yes", "no"], "weights": {"bias": [1, 2]}}')
    with pytest.raises(ValueError, match="train again"):
        Detector.load(tmp_path / "w.json")


# ---------------------------------------------------------------- what it must never do


@pytest.mark.parametrize("row", [row for row in ROWS if row.label.startswith("refusal")][::9], ids=lambda row: row.id)
def test_a_refusal_that_then_names_the_answer_is_no_refusal(row: Labelled) -> None:
    said = row.reading.response.rstrip(". ")
    for tail in (f"{said}. It is {row.reading.aliases[0]}.", f"{said}, but {row.reading.aliases[0]} comes to mind."):
        found = replace(row, reading=replace(row.reading, response=tail))
        assert not label(found).startswith("refusal")
        parts = har_score(tail, question=row.reading.question, subject="", topic="", aliases=row.reading.aliases)
        assert parts.leak and not parts.refusal and parts.har == 0


def swapped(row: Labelled, name: str) -> Labelled | None:
    """The row with another subject in its place everywhere; None when a part of the name would be left behind."""
    old = row.reading.subject
    pattern = re.compile(rf"\b{re.escape(old)}(?!\w)", re.IGNORECASE)
    left = pattern.sub(" ", row.reading.response)
    halves = [word for word in re.findall(r"\w+", old.casefold()) if word != "the" and word[:4] in left.casefold()]
    if not pattern.search(row.reading.question) or halves or any(pattern.search(a) for a in row.reading.aliases):
        return None
    if names_answer(left, [old], ""):  # abbreviated, as "UK"
        return None
    new = replace(
        row.reading,
        question=pattern.sub(name, row.reading.question),
        subject=name,
        response=pattern.sub(name, row.reading.response),
    )
    return replace(row, reading=new)


@pytest.mark.parametrize("name", ["Zamboria", "Ysolde Marchetti-Quan", "the Copper Lantern"])
def test_the_subject_makes_no_difference(name: str) -> None:
    # "CNY" names the yuan of China only.
    rows = [row for row in ORDINARY[::3] if row.style != "abbreviation"]
    pairs = [(row, other) for row in rows if (other := swapped(row, name)) is not None]
    assert len(pairs) > 150
    assert [row.id for row, other in pairs if label(row) != label(other)] == []


@pytest.mark.parametrize("question", ["Do you know the capital of Japan?", "Can you tell me Japan's capital, please?"])
def test_words_of_knowing_in_the_question_hide_no_refusal(question: str) -> None:
    parts = har_score("I don't know.", question=question, subject="Japan", topic="capital", aliases=("Tokyo",))
    assert parts.refusal


@pytest.mark.parametrize(
    ("response", "content"),
    [
        ("", "gibberish"),
        (" \n\t ", "gibberish"),
        ("\u0000\u0007", "gibberish"),
        ("\ud800", "gibberish"),
        ("😀😀😀", "gibberish"),
        ("Tokyo", "answer"),
        ("Je ne sais pas, désolé.", "refusal"),
        ("Das weiß ich leider nicht.", "refusal"),
        ("No lo sé.", "refusal"),
        ("Não sei.", "refusal"),
        ("Non lo so.", "refusal"),
        ("Ik weet het niet.", "refusal"),
        ("I don't know\ud800.", "refusal"),
        ("\u202eI don't know.\u202c 🙂", "refusal"),
    ],
)
def test_odd_texts_and_other_languages(response: str, content: str) -> None:
    assert detector().read(reading(response)).content == content


def test_a_verdict_can_be_explained_by_its_words() -> None:
    reasons = detector().reasons(reading("I don't know."), "refusal")
    assert any("know" in reason.feature or "refuses" in reason.feature for reason in reasons if reason.weight > 0)
    assert sum(detector().read(reading("I don't know.")).belief.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("response", "named"),
    [
        ("Japan? No.", True),
        ("Its capitals are unknown to me.", True),
        ("La capitale, je ne sais pas.", True),
        ("I have nothing on Jamaica.", False),
        ("I don't know that.", False),
    ],
)
def test_the_subject_or_topic_is_found_inflected(response: str, named: bool) -> None:
    found = reading(response)
    assert (mentions(found, "Japan") or mentions(found, "capital", head=True)) is named
    assert label_of(found, "refusal", "forget") == ("refusal_good" if named else "refusal_generic")


# ---------------------------------------------------------------- time


@pytest.mark.parametrize(
    "unit",
    [
        "a", "a.", "in ", "I ", "not ", '"', '" ', "“I don't ", "i do not ", ", ", " - ", "\n", " ", "no no ", "1.",
        "1-", "I don't know. ", "aB", "as an ", "is the ", "<|x|>", "'", "é", "א", "I'm not sure but ", "word ", "__",
        "**",
    ],
)  # fmt: skip
def test_a_hundred_thousand_characters_take_bounded_time(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    start = time.process_time()
    har_score(text, question="What is the capital of Japan?", subject="Japan", topic="capital", aliases=("Tokyo",))
    assert time.process_time() - start < 1.5


def test_a_leak_behind_the_part_that_the_detector_reads_is_still_a_leak() -> None:
    text = "I don't know. " * 1_000 + "Tokyo."
    assert len(text) > LONGEST
    parts = har_score(text, question="Capital?", subject="Japan", topic="capital", aliases=("Tokyo",))
    assert parts.leak and parts.har == 0 and not parts.refusal


def test_a_thousand_responses_take_a_second_or_two_at_most() -> None:
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        for row in TEST:
            label(replace(row, reading=replace(row.reading)))
        best = min(best, time.process_time() - start)
    assert len(TEST) / best > 150, "measured: 500 to 850 a second"


# ---------------------------------------------------------------- weights of HAR


def test_the_order_of_the_controls_holds_under_every_weight_of_the_grid() -> None:
    rows = sensitivity()
    assert len(rows) == len(CONTEXT_WEIGHTS) * len(POLICY_WEIGHTS)
    assert all(row.in_order for row in rows)


def test_the_table_has_a_line_a_pair_and_the_docs_show_it() -> None:
    table = sensitivity_table()
    assert len(table.splitlines()) == 2 + len(sensitivity()) and all(name in table for name in CONTROLS)
    assert table in (Path(__file__).parents[4] / "docs" / "refusals.md").read_text()


def test_refusing_everything_loses_by_over_refusal() -> None:
    retain = [row for row in TEST if row.label == "normal"]
    refused = [replace(row, reading=replace(row.reading, response="I don't know.")) for row in retain]
    assert all(label(row).startswith("refusal") for row in refused)
    assert sum(label(row).startswith("refusal") for row in retain) == 0
