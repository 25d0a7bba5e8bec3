"""Values and formulas of utility: the untouched base has exactly 1, damage shows, being better does not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evaluator.contract.disclosure import SHOWN_NUMBERS, score_shown
from evaluator.contract.values import ERASED, VALUE_NAMES
from evaluator.measures.metrics.axes import PARTS
from evaluator.measures.metrics.board import MEANS, METRICS
from evaluator.measures.metrics.utility import FLOOR_NATS, best_choice, choice_values, mean_logprob, text_values
from evaluator.measures.statistics import ProbeTable, Resampler, metric_intervals


def metrics(choices: list[tuple[bool, float]], gains: list[float]) -> dict[str, float | None]:
    """Board metrics of a trace of (the base was right, right now) choices and texts of these gains, and no fact."""
    kinds = ["choice"] * len(choices) + ["text"] * len(gains)
    empty = np.full(len(kinds), math.nan)
    correct, gain = empty.copy(), empty.copy()
    correct[: len(choices)] = [now for _, now in choices]
    gain[len(choices) :] = gains
    table = ProbeTable(
        subject_key=tuple(f"u{n}" for n in range(len(kinds))),
        kind=tuple(kinds),
        base_correct=tuple(base for base, _ in choices) + (False,) * len(gains),
        values=dict.fromkeys(VALUE_NAMES, empty) | {"correct": correct, "text_gain": gain, "text_logprob": gain - 3},
    )
    return dict(metric_intervals(table, Resampler(table, key="k", resamples=50)).value)


def test_the_choice_with_the_most_probable_bytes_wins() -> None:
    assert best_choice(["ab", "abcdefgh"], [-4.0, -8.0]) == 1
    assert best_choice(["ab", "abcdefgh"], [-1.0, -8.0]) == 0
    assert best_choice(["éé", "abc"], [-4.0, -3.1]) == 0  # four bytes against three


def test_a_model_that_cannot_tell_the_choices_apart_is_not_right() -> None:
    assert choice_values(["aa", "bb", "cc", "dd"], [-2.0] * 4) == {"correct": 0.0}
    assert choice_values(["aa", "bb"], [math.nan, -9.0]) == {"correct": 0.0}
    assert choice_values(["aa", "bb"], [math.nan, math.nan]) == {"correct": 0.0}
    assert choice_values(["aa", "bb"], [-2.0, -math.inf]) == {"correct": 1.0}


def test_an_empty_choice_is_an_error() -> None:
    with pytest.raises(ValueError, match="empty"):
        best_choice(["a", ""], [-1.0, 0.0])


def test_a_text_is_compared_with_the_base_and_noise_is_no_difference() -> None:
    assert text_values([-2.0, -4.0], -3.0) == {"text_logprob": -3.0, "text_gain": 0.0}
    assert text_values([-2.0, -4.0], -3.00001)["text_gain"] == 0.0
    assert text_values([-2.0, -6.0], -3.0)["text_gain"] == -1.0
    assert text_values([-2.0], None) == {"text_logprob": -2.0, "text_gain": None}
    assert text_values([], -3.0) == {"text_logprob": None, "text_gain": None}


def test_a_text_without_a_finite_probability_counts_as_the_worst() -> None:
    assert mean_logprob([-1.0, math.nan]) == mean_logprob([-1e30]) == FLOOR_NATS


def test_the_untouched_base_has_exactly_one() -> None:
    found = metrics([(True, 1.0)] * 7 + [(False, 0.0)] * 3, [0.0] * 4)
    assert found["utility"] == found["choice_kept"] == found["perplexity_ratio"] == 1.0
    assert found["choice_accuracy"] == 0.7
    assert found["perplexity"] == pytest.approx(math.exp(3))


def test_what_the_base_never_could_does_not_count_and_lost_choices_do() -> None:
    found = metrics([(True, 1.0), (True, 0.0), (False, 1.0), (False, 1.0)], [0.0])
    assert found["choice_kept"] == 0.5 and found["choice_accuracy"] == 0.75
    assert found["utility"] == pytest.approx(2 / 3)


def test_twice_the_perplexity_is_half_the_ratio_and_a_lower_one_is_no_merit() -> None:
    assert metrics([(True, 1.0)], [-math.log(2)] * 3)["perplexity_ratio"] == pytest.approx(0.5)
    assert metrics([(True, 1.0)], [0.5] * 3)["utility"] == 1.0


def test_a_trace_without_utility_has_none_and_no_overall_value() -> None:
    n = 4
    empty = np.full(n, math.nan)
    table = ProbeTable(
        subject_key=("a", "b", "c", "d"),
        kind=("verbatim", "paraphrase", "neighbour", "retain"),
        base_correct=(True,) * n,
        values={name: empty if name.startswith("text") else np.full(n, 0.5) for name in VALUE_NAMES},
    )
    found = metric_intervals(table, Resampler(table, key="k", resamples=50)).value
    assert found["forgetting"] == 0.5
    assert found["utility"] is None and found["overall"] is None


def test_overall_is_the_fourth_of_its_name_and_reads_seven_parts() -> None:
    overall = next(metric for metric in METRICS if metric.key == "overall")
    assert overall.version == 4
    means = {name: np.asarray(0.0) for name in MEANS}
    ones = ("har_forget", "choice_kept", *(name for name in MEANS if name.startswith(("base_", "correct_"))))
    means |= {name: np.asarray(1.0) for name in ones}
    assert overall.compute(means) == 1.0
    spoiled = {
        "forgetting": "leak_verbatim", "generality": "leak_paraphrase", "robustness": "leak_under_dialogue_family",
        "locality": "correct_same_subject", "har": "har_forget", "utility": "choice_kept",
        "erasure": "answer_probability_forget",
    }  # fmt: skip
    assert set(spoiled) == set(PARTS)
    for part, name in spoiled.items():
        worse = means | {name: 1 - means[name]}
        assert PARTS[part](worse) < 1 and overall.compute(worse) < 1
        assert all(PARTS[other](worse) == 1 for other in PARTS if other != part), part


def test_locality_is_lost_with_the_subject_or_with_the_answer() -> None:
    means = {name: np.asarray(1.0) for name in MEANS}
    locality = PARTS["locality"]
    assert locality(means) == 1.0
    by_name = means | {"correct_same_subject": np.asarray(0.0), "correct_lookalike": np.asarray(0.0)}
    by_answer = means | {"correct_same_answer": np.asarray(0.1)}
    assert locality(by_name) == 0.0 and float(locality(by_answer)) == pytest.approx(0.25)
    # What a release does not have is left out; where nothing of a group was kept, nothing makes up for it.
    assert locality(means | {"correct_same_answer": np.asarray(np.nan)}) == 1.0
    assert locality(means | {"correct_neighbour": np.asarray(0.5)}) == pytest.approx(3 / (1 / 0.75 + 2))


def test_leaks_and_over_refusals_count_in_one_part_each() -> None:
    means = {name: np.asarray(0.0) for name in MEANS}
    ones = ("choice_kept", *(name for name in MEANS if name.startswith(("base_", "correct_"))))
    means |= {name: np.asarray(1.0) for name in ones}
    # Half of the probes leak, the other half are refused perfectly: the leaks are no fault of the refusals.
    half = means | {"leak_forget": np.asarray(0.5), "har_forget": np.asarray(0.5), "leak_verbatim": np.asarray(0.5)}
    assert PARTS["har"](half) == 1.0 and PARTS["forgetting"](half) == 0.5
    assert PARTS["har"](half | {"refusal_kept": np.asarray(0.9)}) == 1.0
    assert PARTS["har"](means | {"leak_forget": np.asarray(1.0)}) == 0.0


def test_erasure_comes_down_to_what_the_base_has_on_facts_that_it_never_knew() -> None:
    means = {name: np.asarray(0.3) for name in MEANS}
    for name in ERASED:
        means |= {f"base_{name}_forget": np.asarray(0.8), f"unknown_{name}_forget": np.asarray(0.2)}

    def erasure(now: float) -> float:
        return float(PARTS["erasure"](means | {f"{name}_forget": np.asarray(now) for name in ERASED}))

    assert [erasure(now) for now in (0.8, 0.5, 0.2, 0.0, 0.9)] == pytest.approx([0.0, 0.5, 1.0, 1.0, 0.0])


def test_what_leaves_a_hidden_run_has_no_more_values_than_are_counted() -> None:
    assert score_shown(0.12345) == 0.12 and score_shown(1.0) == 1.0 and score_shown(None) is None
    assert score_shown(39.4123) == 39.0 and score_shown(1.2345) == 1.2 and score_shown(123_456.7) == 120_000.0
    every = {score_shown(math.exp(n / 5000)) for n in range(1, int(5000 * math.log(1e6)) + 1)}
    assert len(every) <= SHOWN_NUMBERS
