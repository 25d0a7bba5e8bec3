"""How well refusals are told apart: per class, with intervals, beside the baselines, against stated targets."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evaluator.measures.refusal.agreement import cohen_kappa
from evaluator.measures.refusal.baselines import EPISTEMIC_STRINGS, SAFETY_STRINGS, Guess, by_strings, by_tfidf
from evaluator.measures.refusal.detector import Detector, detector, label_of
from evaluator.measures.refusal.figures import REFUSALS, Figures, Rate
from evaluator.measures.refusal.labelled import (
    HELD_OUT,
    LABELS,
    SECOND_READING,
    UNSEEN,
    Label,
    Labelled,
    labelled_read,
)

MACRO_F1 = 0.92
PARTIAL_RECALL = 0.85
FALSE_REFUSALS = 0.01


@dataclass(frozen=True)
class Report:
    """True and found labels of one set, and everything that follows from them."""

    true: tuple[Label, ...]
    found: tuple[Label, ...]

    def precision(self, label: Label) -> Rate:
        said = [true for true, found in zip(self.true, self.found, strict=True) if found == label]
        return Rate(said.count(label), len(said))

    def recall(self, label: Label) -> Rate:
        there = [found for true, found in zip(self.true, self.found, strict=True) if true == label]
        return Rate(there.count(label), len(there))

    def f1(self, label: Label) -> float:
        precision, recall = self.precision(label).value, self.recall(label).value
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the labels that occur in the set, in [0, 1]."""
        there = [label for label in LABELS if label in self.true]
        return sum(self.f1(label) for label in there) / len(there)

    @property
    def false_refusals(self) -> Rate:
        """Normal answers taken for a refusal of any kind. Lower is better."""
        found = [found for true, found in zip(self.true, self.found, strict=True) if true == "normal"]
        return Rate(sum(label in REFUSALS for label in found), len(found))

    @property
    def missed_targets(self) -> list[str]:
        """What falls short, in words; empty when every target is met."""
        checks = (
            (self.macro_f1 >= MACRO_F1, f"macro-F1 {self.macro_f1:.3f} is below {MACRO_F1}"),
            (
                self.recall("partial").value >= PARTIAL_RECALL,
                f"recall of partial {self.recall('partial').value:.3f} is below {PARTIAL_RECALL}",
            ),
            (
                self.false_refusals.value <= FALSE_REFUSALS,
                f"false refusals {self.false_refusals.value:.3f} are above {FALSE_REFUSALS}",
            ),
        )
        return [words for met, words in checks if not met]


def guesses(rows: Sequence[Labelled], guess: Guess) -> Report:
    return Report(tuple(row.label for row in rows), tuple(guess(row) for row in rows))


def by_detector(found: Detector) -> Guess:
    return lambda row: label_of(row.reading, found.read(row.reading).content, row.split)


def _line(name: str, report: Report) -> str:
    return f"{name:<34} {report.macro_f1:>8.3f}   {report.recall('partial')!s:<22} {report.false_refusals!s}"


def _classes(report: Report) -> list[str]:
    lines = [f"{'class':<16} {'n':>4}  {'precision':<22} {'recall':<22} {'F1':>5}"]
    for label in LABELS:
        recall = report.recall(label)
        if recall.tries:
            lines.append(
                f"{label:<16} {recall.tries:>4}  {report.precision(label)!s:<22} {recall!s:<22} {report.f1(label):.3f}"
            )
    return lines


def _confusion(report: Report) -> list[str]:
    pairs = Counter(zip(report.true, report.found, strict=True))
    short = [label.replace("refusal_", "r:")[:8] for label in LABELS]
    lines = [f"{'true / found':<16}" + "".join(f"{name:>9}" for name in short)]
    for true in LABELS:
        lines.append(f"{true:<16}" + "".join(f"{pairs[true, found] or '.':>9}" for found in LABELS))
    return lines


def _figures(title: str, figures: Figures) -> list[str]:
    missed = figures.missed_targets
    verdict = "every target is met" if not missed else "missed: " + "; ".join(missed)
    return [f"{title}: {len(figures.rows)} responses", *(f"  {line}" for line in figures.lines), f"  {verdict}", ""]


def second_reading(rows: Sequence[Labelled]) -> str:
    """How far the second reader agrees with the first, in a line."""
    second: dict[str, str] = json.loads(SECOND_READING.read_text(encoding="utf-8"))
    both = [(str(row.label), second[row.id]) for row in rows if row.id in second]
    first, again = zip(*both, strict=True)
    refuses = [[str(label in REFUSALS) for label in labels] for labels in (first, again)]
    whole, narrow = cohen_kappa(first, again), cohen_kappa(*refuses)
    return (
        f"second reading of {len(both)} responses, blind: the same label for {sum(a == b for a, b in both)}, "
        f"kappa {whole or 0:.3f}; refusing or not: kappa {narrow or 0:.3f}"
    )


def refusal_report() -> tuple[str, bool]:
    """(the report as text, whether every target is met on the test part and on the held-out set)."""
    rows = labelled_read()
    train, test = [row for row in rows if row.part == "train"], [row for row in rows if row.part == "test"]
    unseen, held_out = labelled_read(UNSEEN), labelled_read(HELD_OUT)
    straight, with_rules = by_tfidf(train)
    own = by_detector(detector())
    contenders = {
        "detector": own,
        "strings of safety refusals": by_strings(SAFETY_STRINGS),
        "strings of not knowing": by_strings(EPISTEMIC_STRINGS),
        "TF-IDF, ten labels": straight,
        "TF-IDF, contents and our rules": with_rules,
    }
    report = guesses(test, own)
    lines = [
        (
            f"{len(train)} responses trained on, {len(test)} tested on, {len(held_out)} held out, {len(unseen)} in "
            "unseen manners; intervals: Wilson, 95 %"
        ),
        "",
    ]
    figures = {"test part": Figures.of(test, detector()), "held out": Figures.of(held_out, detector())}
    for title, one in figures.items():
        lines += _figures(title, one)
    for title, part in (("test part", test), ("held out", held_out), ("unseen manners", unseen)):
        lines.append(f"{title:<34} macro-F1   recall of partial      false refusals on normal answers")
        lines += [_line(name, guesses(part, guess)) for name, guess in contenders.items()]
        lines.append("")
    lines += [second_reading([*rows, *held_out, *unseen]), ""]
    start = time.perf_counter()
    guesses([replace(row, reading=replace(row.reading)) for row in test], own)
    lines += [*_classes(report), "", *_confusion(report), ""]
    lines.append(f"{len(test) / (time.perf_counter() - start):,.0f} responses a second, one core")
    missed = report.missed_targets + [
        f"{title}: {words}" for title, one in figures.items() for words in one.missed_targets
    ]
    lines.append("every target is met" if not missed else "missed: " + "; ".join(missed))
    return "\n".join(lines), not missed
