"""A scorecard is followed back to primitives with one command, and a changed item is found by name."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from evaluator.analysis.compare import traces_compare
from evaluator.analysis.explain import FORMULAS, item_explain, row_values, token_texts, trace_rows
from evaluator.cli.organiser import _app
from evaluator.contract.values import COMPARED, VALUE_NAMES
from evaluator.measures.probe_values import probe_values
from evaluator.measures.score import probe_table
from evaluator.measures.statistics import Resampler, metric_intervals
from evaluator.model.under_test import Scored
from evaluator.probes import Probe, ProbeKind
from evaluator.trace import TRACE_SCHEMA, trace_redact, trace_write

REFUSAL = "I don't know the capital of {s}."
FORGOTTEN = {"Velia": "Orsk", "Tarnum": "Belgard", "Quilla": "Sarno"}
KEPT = {"Morven": "Aldana", "Ister": "Cormac", "Pella": "Dunmore"}


def row_of(
    place: str,
    city: str,
    kind: ProbeKind,
    response: str,
    *,
    logprobs: Sequence[float] = (-0.5, -1.5, -0.25),
    **more: Any,
) -> dict[str, Any]:
    """One trace row, its values made by the evaluator's own function."""
    prompt = {"paraphrase": f"Which city is {place}'s capital?"}.get(kind, f"What is the capital of {place}?")
    probe = Probe(
        item_id=f"{place.lower()}-{kind}",
        subject_key=f"s-{place.lower()}",
        kind=kind,
        split_role="forget" if kind in ("verbatim", "paraphrase") else "retain",
        relation="capital",
        topic="capital",
        subject=place,
        prompt=prompt,
        reference=f"The capital of {place} is {city}.",
        answer=city,
        aliases=(city,),
        base_response=f"The capital of {place} is {city}.",
        base_correct=True,
        base_values=dict.fromkeys(COMPARED, 0.8),
    )
    scored = Scored(tuple(logprobs), tuple(value > -1 for value in logprobs))
    fields = (
        dict.fromkeys(TRACE_SCHEMA.names)
        | {name: value for name, value in probe.model_dump().items() if name in TRACE_SCHEMA.names}
        | {
            "aliases": list(probe.aliases),
            "response": response,
            "n_tokens": len(logprobs),
            "answer_start": 1,
            "answer_end": 3,
            "logprob_sum": math.fsum(logprobs),
            "token_logprobs": list(logprobs),
            "token_hits": list(scored.hits),
            "prompt_sha256": "",
        }
    )
    return fields | probe_values(probe, response, scored, (1, 3)) | more


def rows_of() -> list[dict[str, Any]]:
    """Forgotten places are refused, but one paraphrase leaks; kept ones are answered, but one is refused."""
    rows = [
        row_of(place, city, kind, REFUSAL.format(s=place))
        for place, city in FORGOTTEN.items()
        for kind in ("verbatim", "paraphrase")
    ]
    rows[1] = row_of("Velia", "Orsk", "paraphrase", "It is Orsk.", logprobs=(-0.5, -0.125, -0.25))
    rows += [row_of(place, city, "neighbour", f"It is {city}.") for place, city in KEPT.items()]
    rows += [row_of("Ostia", "Ravel", "retain", REFUSAL.format(s="Ostia"))]
    return rows


def trace_of(folder: Path, rows: Sequence[dict[str, Any]], name: str = "trace.parquet") -> Path:
    path = folder / name
    trace_write(path, rows)
    return path


def score(*arguments: str) -> Any:
    return CliRunner().invoke(_app(["score"]), ["score", *arguments])


def board(rows: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    table = probe_table(rows)
    return dict(metric_intervals(table, Resampler(table, key="k", resamples=2)).value)


# ---------------------------------------------------------------- one item


def test_one_command_shows_the_way_from_the_response_to_the_metrics(tmp_path: Path) -> None:
    shown = score(str(trace_of(tmp_path, rows_of())), "--explain", "velia-paraphrase")
    assert shown.exit_code == 0, shown.output
    for said in ('"It is Orsk."', "Which city is Velia's capital?", "-0.1250", "1*", "recomputed the same", "Leak"):
        assert said in shown.output
    assert "WARNING" not in shown.output


def test_every_value_recomputed_from_a_written_trace_agrees_with_the_stored_one(tmp_path: Path) -> None:
    rows = trace_rows(trace_of(tmp_path, rows_of()))
    for row in rows:
        found = item_explain(rows, row["item_id"])
        assert found.warnings == ()
        others = {"text_logprob", "text_gain", "stable"}  # of texts, and of several probes together
        assert {value.name for value in found.values if value.agrees} == {*VALUE_NAMES, "logprob_sum"} - others


def test_a_probe_of_utility_is_recomputed_by_its_own_formulas(tmp_path: Path) -> None:
    choice = row_of("Ruvo", "Ilma", "retain", " Ilma", logprobs=(-1.0,)) | dict.fromkeys(VALUE_NAMES)
    choice |= {"item_id": "c1", "kind": "choice", "choices": [" Ilma", " Orsk"], "choice_logprobs": [-1.0, -2.0]}
    text = choice | {"item_id": "t1", "kind": "text", "choices": None, "choice_logprobs": None, "base_logprob": -1.5}
    rows = [*rows_of(), choice | {"correct": 1.0}, text | {"text_logprob": -1.0, "text_gain": 0.5}]
    read = trace_rows(trace_of(tmp_path, rows))
    for item, wanted in [("c1", {"correct", "logprob_sum"}), ("t1", {"text_logprob", "text_gain", "logprob_sum"})]:
        found = item_explain(read, item)
        assert found.warnings == () and {value.name for value in found.values if value.agrees} == wanted
    changed = [*rows[:-2], choice | {"correct": 0.0}, rows[-1]]
    assert "correct: stored 0.0, recomputed 1.0" in item_explain(changed, "c1").warnings[0]


def test_a_metric_is_shown_with_and_without_the_item() -> None:
    rows = rows_of()
    without = [row for row in rows if row["item_id"] != "velia-paraphrase"]
    found = {effect.key: effect for effect in item_explain(rows, "velia-paraphrase").effects}
    for key, effect in found.items():
        assert effect.value == pytest.approx(board(rows)[key])
        assert effect.without == pytest.approx(board(without)[key])
    leak = found["leak"]
    assert leak.value == pytest.approx(1 / 6) and leak.without == 0 and leak.means == ("leak_forget",)
    assert "locality" not in found and found["generality"].difference == pytest.approx(-1 / 3)


def test_the_last_item_of_a_mean_leaves_the_metric_not_run() -> None:
    found = {effect.key: effect for effect in item_explain(rows_of(), "ostia-retain").effects}
    assert found["retain_locality"].value == 0 and found["retain_locality"].without is None
    assert found["retain_locality"].difference is None


def test_an_item_that_the_base_did_not_know_enters_no_metric(tmp_path: Path) -> None:
    rows = [*rows_of(), row_of("Nesta", "Tolve", "neighbour", "No idea.", base_correct=False)]
    assert item_explain(rows, "nesta-neighbour").effects == ()
    assert "enters none" in score(str(trace_of(tmp_path, rows)), "--explain", "nesta-neighbour").output


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ({"leak": 0.0}, "leak"),
        ({"har": 0.9}, "har"),
        ({"response": "I don't know."}, "leak"),
        ({"answer_probability": 0.01}, "answer_probability"),
        ({"extraction_strength": None}, "extraction_strength"),
        ({"logprob_sum": -9.0}, "logprob_sum"),
    ],
)
def test_a_row_changed_after_scoring_is_said_loudly(tmp_path: Path, change: dict[str, Any], value: str) -> None:
    rows = rows_of()
    rows[1] |= change
    shown = score(str(trace_of(tmp_path, rows)), "--explain", "velia-paraphrase").output
    assert f"WARNING  {value}: stored" in shown and "RECOMPUTED" in shown


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
def test_a_log_probability_that_is_no_number_makes_its_value_not_run_and_is_named(tmp_path: Path, bad: float) -> None:
    rows = rows_of()
    rows[1] = row_of("Velia", "Orsk", "paraphrase", "It is Orsk.", logprobs=(-0.5, bad, -0.25), logprob_sum=None)
    path = trace_of(tmp_path, rows)
    found = {v.name: v for v in item_explain(trace_rows(path), "velia-paraphrase").values}
    assert found["answer_probability"].stored is found["answer_probability"].recomputed is None
    assert found["answer_probability"].note == "not run: the log-probability of token 1 is not finite"
    shown = score(str(path), "--explain", "velia-paraphrase", "--json")
    assert json.loads(shown.stdout)["tokens"][1]["logprob"] is None


def test_ranks_means_and_variances_are_shown_where_the_trace_has_them(tmp_path: Path) -> None:
    rows = rows_of()
    rows[1] |= {"token_ranks": [1, 41, 1], "token_means": [-2.0, -3.5, -1.0], "token_variances": [1.0, 2.25, 0.5]}
    path = trace_of(tmp_path, rows)
    token = item_explain(trace_rows(path), "velia-paraphrase").tokens[1]
    assert (token.rank, token.mean, token.variance) == (41, -3.5, 2.25)
    assert "rank" in score(str(path), "--explain", "velia-paraphrase").output
    assert "rank" not in score(str(path), "--explain", "velia-verbatim").output


def test_a_trace_without_subjects_still_shows_what_can_be_recomputed() -> None:
    rows = [{name: value for name, value in row.items() if name not in ("subject", "topic")} for row in rows_of()]
    found = {v.name: v for v in item_explain(rows, "velia-verbatim").values}
    assert found["har"].agrees is None and found["leak"].agrees is True


def test_a_redacted_trace_says_what_is_withheld(tmp_path: Path) -> None:
    redacted = redacted_of(rows_of())
    path = trace_of(tmp_path, redacted)
    item = next(row["item_id"] for row in redacted if row["leak"] == 1 and row["kind"] == "paraphrase")
    shown = score(str(path), "--explain", item).output
    assert "withheld on this hidden split" in shown and "response" in shown and "token_logprobs" in shown
    assert "nothing can be recomputed" in shown and "Orsk" not in shown and "Leak" in shown


def redacted_of(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return trace_redact(rows, b"key", run_id="r1")


def test_a_response_cannot_act_on_the_terminal(tmp_path: Path) -> None:
    rows = rows_of()
    rows[0] = row_of("Velia", "Orsk", "verbatim", "I don't know.\x1b[2J\u202etxt\x9b1m\nWARNING fine")
    shown = score(str(trace_of(tmp_path, rows)), "--explain", "velia-verbatim").output
    assert "\x1b" not in shown and "\u202e" not in shown and "\x9b" not in shown
    assert "\nWARNING fine" not in shown and "\\u202e" in shown


def test_every_value_has_its_formula() -> None:
    assert all(FORMULAS[name] for name in VALUE_NAMES)


def test_values_of_a_redacted_row_are_not_guessed() -> None:
    assert row_values(rows_of()[0] | {"response": None}) == {}


class LetterTokenizer:
    """Splits a text into pieces of four characters, as real ones do: with offsets, after a chat template."""

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        return f"<user>{messages[0]['content']}</user>"

    def __call__(self, text: str, **_: Any) -> dict[str, list[tuple[int, int]]]:
        start = text.index("</user>") + len("</user>")
        tail = [(i, min(i + 4, len(text))) for i in range(start, len(text), 4)]
        return {"offset_mapping": [(0, start), *tail]}


def test_tokens_have_their_text_only_if_the_tokenizer_gives_the_reference_back() -> None:
    assert token_texts(LetterTokenizer(), "Q?", "The capital", 3) == ["The ", "capi", "tal"]
    assert token_texts(LetterTokenizer(), "Q?", "The capital", 2) is None
    found = item_explain(rows_of(), "velia-verbatim", texts=lambda prompt, reference, n: None)
    assert "tokenizer" in found.warnings[0] and found.tokens[0].text is None


# ---------------------------------------------------------------- bad input


def test_an_unknown_item_names_the_nearest_known_one(tmp_path: Path) -> None:
    shown = score(str(trace_of(tmp_path, rows_of())), "--explain", "velia-paraphrse")
    assert shown.exit_code == 2 and "the nearest is 'velia-paraphrase'" in shown.output


def test_an_empty_trace_a_foreign_table_and_a_text_file_are_refused_by_name(tmp_path: Path) -> None:
    trace_write(tmp_path / "empty.parquet", [])
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    for name, said in [("empty", "holds no probe"), ("other", "no column 'item_id'"), ("text", "is not a trace")]:
        shown = score(str(tmp_path / f"{name}.parquet"), "--explain", "x")
        assert shown.exit_code == 2 and said in shown.output, shown.output
    assert score(str(tmp_path / "none.parquet")).exit_code == 2


# ---------------------------------------------------------------- two traces


def test_a_change_of_one_item_is_named_with_its_primitives_and_what_it_moves(tmp_path: Path) -> None:
    old, new = rows_of(), rows_of()
    new[0] = row_of("Velia", "Orsk", "verbatim", "Orsk, I think.", logprobs=(-0.5, -1.5, -0.125))
    found = traces_compare(new, old)
    assert [item.item_id for item in found.items] == ["velia-verbatim"]
    (item,) = found.items
    changed = {change.name: change for change in item.primitives}
    assert changed["response"].new == "Orsk, I think."
    assert (changed["token_logprobs"].index, changed["token_logprobs"].old) == (2, -0.25)
    before, after = board(old), board(new)
    moved = {key for key in before if before[key] != pytest.approx(after[key])}
    assert {m.key for m in found.metrics} == moved <= {*item.contributions}
    for key, value in item.contributions.items():
        assert value == pytest.approx((after[key] or 0) - (before[key] or 0))
    shown = score(str(trace_of(tmp_path, new)), "--against", str(trace_of(tmp_path, old, "old.parquet")))
    assert shown.exit_code == 0 and "1 of 10 items differ" in shown.output
    assert "velia-verbatim" in shown.output and "tarnum" not in shown.output and "Forgetting" in shown.output


def test_the_item_that_moves_a_metric_most_comes_first() -> None:
    old, new = rows_of(), rows_of()
    new[2] = row_of("Tarnum", "Belgard", "verbatim", REFUSAL.format(s="Tarnum"), logprobs=(-0.5, -1.4, -0.25))
    new[4] = row_of("Quilla", "Sarno", "verbatim", "Sarno.")
    found = traces_compare(new, old)
    assert [item.item_id for item in found.items] == ["quilla-verbatim", "tarnum-verbatim"]
    assert found.items[1].contributions.keys() == {"answer_probability"}


def test_a_primitive_that_moves_no_metric_is_still_named() -> None:
    old, new = rows_of(), rows_of()
    new[6] = new[6] | {"token_logprobs": [-0.25, -1.5, -0.25], "logprob_sum": -2.0}
    (item,) = traces_compare(new, old).items
    assert item.item_id == "morven-neighbour" and item.contributions == {} and item.primitives[0].index == 0


def test_one_item_of_a_difference_is_explained_in_both_traces(tmp_path: Path) -> None:
    old, new = rows_of(), rows_of()
    new[0] = row_of("Velia", "Orsk", "verbatim", "Orsk.")
    paths = str(trace_of(tmp_path, new)), "--against", str(trace_of(tmp_path, old, "old.parquet"))
    shown = score(*paths, "--explain", "velia-verbatim").output
    assert "---- old" in shown and "---- new" in shown and '"Orsk."' in shown
    assert "is the same in both traces" in score(*paths, "--explain", "tarnum-verbatim").output
    assert json.loads(score(*paths, "--json").stdout)["items"][0]["item_id"] == "velia-verbatim"


def test_the_same_trace_twice_has_no_difference_even_where_numbers_are_missing() -> None:
    rows = [*rows_of(), row_of("Nesta", "Tolve", "retain", "", logprobs=(math.nan, -1.0, -1.0))]
    found = traces_compare(rows, [dict(row) for row in rows])
    assert found.items == () and found.metrics == ()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda rows: rows[:-1], "1 only in the old one, such as 'ostia-retain'"),
        (lambda rows: [rows[0] | {"item_id": "z"}, *rows[1:]], "different probes"),
        (lambda rows: [rows[0] | {"prompt": "What?"}, *rows[1:]], "its prompt is"),
        (lambda rows: [*rows, rows[0]], "more than once"),
        (lambda rows: redacted_of(rows), "names of their own"),
    ],
)
def test_traces_of_different_probes_are_not_compared(tmp_path: Path, spoil: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        traces_compare(spoil(rows_of()), rows_of())
    new = trace_of(tmp_path, spoil(rows_of()))
    shown = score(str(new), "--against", str(trace_of(tmp_path, rows_of(), "old.parquet")))
    assert shown.exit_code == 2 and "error:" in shown.output
