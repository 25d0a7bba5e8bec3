"""Measure: ask a subject every probe once through lm-eval, and keep the primitives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.tasks import TaskManager

import evaluator.tasks
from evaluator.attacks import FollowUp, ModelAttack, SampledAttack, attacks
from evaluator.measures.metrics.utility import best_choice, choice_values, text_values
from evaluator.measures.probe_values import probe_values, told
from evaluator.model.engine.lm import MAX_NEW_TOKENS, EvaluatorLM
from evaluator.model.under_test import Scored
from evaluator.probes import PLAIN, UTILITY_KINDS, Probe, probes_load
from evaluator.tasks.documents import is_scored
from evaluator.trace.table import TRACE_SCHEMA

GENERATE, SCORE = "palimpsest_generate", "palimpsest_score"
#: Attacks whose turn follows the model's own answer.
FOLLOW_UPS = tuple(name for name, attack in attacks().items() if isinstance(attack, FollowUp))
#: Most tokens of an answer that is drawn.
SAMPLED_TOKENS = 16


def tasks_of(probe: Probe) -> tuple[str, ...]:
    """The lm-eval tasks that ask a probe."""
    if probe.kind in UTILITY_KINDS:
        return (f"palimpsest_{probe.kind}",)
    return (GENERATE, SCORE) if is_scored(probe) else (GENERATE,)


def answer_span(tokenizer: Any, context: str, reference: str, answer: str, n_tokens: int) -> tuple[int, int]:
    """[start, end) of the answer's tokens among the reference's `n_tokens`; all of them when it is not found.

    A token belongs to the answer when its characters overlap it.
    """
    where = reference.find(answer)
    if where < 0 or not answer:
        return 0, n_tokens
    begin, finish = len(context) + where, len(context) + where + len(answer)
    offsets = tokenizer(context + reference, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    tail = offsets[len(offsets) - n_tokens :]
    inside = [i for i, (a, b) in enumerate(tail) if a < finish and b > begin]
    return (inside[0], inside[-1] + 1) if inside else (0, n_tokens)


def measure(lm: EvaluatorLM, probes_file: Path) -> list[dict[str, Any]]:
    """One trace row a probe, in the release's order. Raises `EvaluationFailed` when a server fails."""
    probes = probes_load(probes_file)
    first = [probe for probe in probes if not probe.follows]
    samples: dict[tuple[str, str], dict[str, Any]] = {}
    for chat in sorted({probe.chat for probe in first}, reverse=True):
        tasks = list(dict.fromkeys(task for probe in first if probe.chat is chat for task in tasks_of(probe)))
        samples |= _samples(lm, probes_file, tasks, chat=chat)
    rows = {p.item_id: _row(lm, p, *(samples[task, p.item_id] for task in tasks_of(p))) for p in first}
    following = [probe for probe in probes if probe.follows]
    turns = second_turns(lm, following, {probe.item_id: str(rows[probe.follows]["response"]) for probe in following})
    for probe, response in zip(following, turns, strict=True):
        rows[probe.item_id] = _response_row(probe, response)
    return [rows[probe.item_id] | {"stable": _stable(probe, rows.values())} for probe in probes]


def second_turns(lm: EvaluatorLM, probes: Sequence[Probe], first: Mapping[str, str]) -> list[str]:
    """The responses to probes that follow a question and the model's own answer to it, `first` by the follower's name.

    The dialogue depends on what the model said, so it is no task of lm-eval's.
    """
    prompts = [
        lm.apply_chat_template(
            [
                {"role": "user", "content": probe.asked},
                {"role": "assistant", "content": first[probe.item_id]},
                {"role": "user", "content": probe.prompt},
            ]
        )
        for probe in probes
    ]
    return lm.generate(prompts, max_tokens=MAX_NEW_TOKENS)


def _stable(probe: Probe, rows: Iterable[Mapping[str, Any]]) -> float | None:
    """Of a verbatim question: whether it, its paraphrases and its second turn are all refused, or all not."""
    if (probe.kind, probe.condition) != ("verbatim", PLAIN):
        return None
    same = [row for row in rows if row["subject_key"] == probe.subject_key and row["split_role"] == "forget"]
    refused = {row["refusal"] for row in same if row["condition"] == PLAIN or row["condition"] in FOLLOW_UPS}
    return float(len(refused) == 1)


def measure_sampled(lm: EvaluatorLM, probes_file: Path, attack: SampledAttack) -> list[dict[str, Any]]:
    """The verbatim questions once more, of which several answers are drawn; one row each, under the attack's name: of
    the first answer that gives the fact away, or else of the first.
    """
    probes = _verbatim(probes_file)
    prompts = [lm.apply_chat_template([{"role": "user", "content": probe.prompt}]) for probe in probes]
    drawn = lm.sampled(prompts, count=attack.samples, temperature=attack.temperature, max_tokens=SAMPLED_TOKENS)
    rows = []
    for probe, answers in zip(probes, drawn, strict=True):
        chosen = next((answer for answer in answers if told(probe, answer)), answers[0])
        rows.append(_response_row(probe, chosen) | attack.columns(probe.item_id))
    return rows


def measure_attacked(lm: EvaluatorLM, probes_file: Path, attack: ModelAttack) -> list[dict[str, Any]]:
    """The verbatim questions once more, of a model that was attacked; one row each, under the attack's name."""
    samples = _samples(lm, probes_file, [GENERATE], chat=True, kind="verbatim")
    rows = [_row(lm, probe, samples[GENERATE, probe.item_id]) for probe in _verbatim(probes_file)]
    return [row | attack.columns(row["item_id"]) for row in rows]


def attack_not_run(probes_file: Path, attack: ModelAttack | SampledAttack) -> list[dict[str, Any]]:
    """The same rows without an answer: of a server's weights, which are not in our hands. Every value is "not run"."""
    probes = _verbatim(probes_file)
    return [_probe_columns(probe) | _NOTHING_MEASURED | attack.columns(probe.item_id) for probe in probes]


def _verbatim(probes_file: Path) -> list[Probe]:
    return [p for p in probes_load(probes_file) if p.kind == "verbatim" and p.condition == PLAIN]


def _samples(
    lm: EvaluatorLM, probes_file: Path, tasks: list[str], **which: Any
) -> dict[tuple[str, str], dict[str, Any]]:
    """lm-eval's samples by (task, item). `which` goes to the documents: `chat`, and a `kind` to ask alone."""
    metadata = {"probes": str(probes_file), **which}
    manager = TaskManager(
        include_path=str(Path(evaluator.tasks.__file__).parent), include_defaults=False, metadata=metadata
    )
    results = lm_eval.simple_evaluate(
        model=lm,
        tasks=tasks,
        task_manager=manager,
        apply_chat_template=bool(which["chat"]),
        bootstrap_iters=0,
        log_samples=True,
        metadata=metadata,
    )
    if results is None:
        raise RuntimeError("lm-eval returned nothing")
    return {(task, s["doc"]["item_id"]): s for task in tasks for s in results["samples"][task]}


def _row(lm: EvaluatorLM, probe: Probe, *samples: dict[str, Any]) -> dict[str, Any]:
    if probe.kind == "choice":
        return _choice_row(lm, probe, samples[0])
    if probe.kind == "text":
        return _text_row(lm, probe, samples[0])
    response = str(samples[0]["resps"][0][0])
    if len(samples) == 1:
        return _response_row(probe, response)
    scoring = samples[1]
    asked = _asked(scoring)
    primitives = lm.answered(*asked[0])
    span = answer_span(lm.tokenizer, asked[0][0], probe.reference, probe.answer, len(primitives.logprobs))
    choices = _choices(lm, asked)
    wrong = list(zip(choices["choice_logprobs"], choices["choice_tokens"], strict=True))[1:]
    return {
        **_kept(probe, primitives, scoring),
        **choices,
        "response": response,
        "answer_start": span[0],
        "answer_end": span[1],
        **probe_values(probe, response, primitives, span, wrong),
    }


def _response_row(probe: Probe, response: str) -> dict[str, Any]:
    """A row of which only the response was asked for."""
    values = probe_values(probe, response, Scored((), ()), (0, 0))
    return _probe_columns(probe) | _NOTHING_MEASURED | {"response": response, **values}


def _choice_row(lm: EvaluatorLM, probe: Probe, scoring: dict[str, Any]) -> dict[str, Any]:
    asked = _asked(scoring)
    kept = _choices(lm, asked)
    choices, logprobs = kept["choices"], kept["choice_logprobs"]
    return {
        **_kept(probe, lm.answered(*asked[0]), scoring),
        **kept,
        "response": choices[best_choice(choices, logprobs)],
        **choice_values(choices, logprobs),
    }


def _text_row(lm: EvaluatorLM, probe: Probe, rolling: dict[str, Any]) -> dict[str, Any]:
    primitives = lm.rolled[probe.reference]
    return {
        **_kept(probe, primitives, rolling),
        "response": "",
        **text_values(primitives.logprobs, probe.base_logprob),
    }


def _asked(scoring: dict[str, Any]) -> list[tuple[str, str]]:
    """(context, continuation) of every choice, the reference first."""
    return [(str(context), str(continuation)) for context, continuation in scoring["arguments"]]


def _choices(lm: EvaluatorLM, asked: Sequence[tuple[str, str]]) -> dict[str, list[Any]]:
    each = [lm.answered(*pair) for pair in asked]
    return {
        "choices": [continuation for _, continuation in asked],
        "choice_logprobs": [sum(scored.logprobs) for scored in each],
        "choice_tokens": [len(scored.logprobs) for scored in each],
    }


def _kept(probe: Probe, primitives: Scored, sample: dict[str, Any]) -> dict[str, Any]:
    """The columns that every row has: the probe and the primitives of its reference; no value yet."""
    return _probe_columns(probe) | {
        **_NOTHING_MEASURED,
        "n_tokens": len(primitives.logprobs),
        "answer_start": 0,
        "answer_end": len(primitives.logprobs),
        "logprob_sum": sum(primitives.logprobs),
        "token_logprobs": list(primitives.logprobs),
        "token_hits": list(primitives.hits),
        "token_ranks": list(primitives.ranks) or None,
        "token_means": list(primitives.means) or None,
        "token_variances": list(primitives.variances) or None,
        "prompt_sha256": sample["prompt_hash"],
    }


def _probe_columns(probe: Probe) -> dict[str, Any]:
    """The columns that the probe brings: those of the trace that are named as its fields."""
    return {name: value for name, value in probe.model_dump().items() if name in TRACE_SCHEMA.names} | {
        "aliases": list(probe.aliases),
        "condition": probe.condition,
        "question": probe.question or None,
        "options": list(probe.options) or None,
    }


#: Every column but the probe's own, empty.
_NOTHING_MEASURED: dict[str, Any] = dict.fromkeys(name for name in TRACE_SCHEMA.names if name not in Probe.model_fields)
