"""Measure: ask a subject every probe once through lm-eval, and keep the primitives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.tasks import TaskManager

import evaluator.tasks
from evaluator.attacks import ModelAttack
from evaluator.measures.metrics.utility import best_choice, choice_values, text_values
from evaluator.measures.probe_values import probe_values
from evaluator.model.engine.lm import EvaluatorLM
from evaluator.model.under_test import Scored
from evaluator.probes import PLAIN, UTILITY_KINDS, Probe, probes_load
from evaluator.trace.table import TRACE_SCHEMA

FACT_TASKS = ("palimpsest_generate", "palimpsest_score")


def tasks_of(kind: str) -> tuple[str, ...]:
    """The lm-eval tasks that ask a probe of this kind."""
    return (f"palimpsest_{kind}",) if kind in UTILITY_KINDS else FACT_TASKS


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
    samples: dict[tuple[str, str], dict[str, Any]] = {}
    for chat in sorted({probe.chat for probe in probes}, reverse=True):
        tasks = list(dict.fromkeys(task for probe in probes if probe.chat is chat for task in tasks_of(probe.kind)))
        samples |= _samples(lm, probes_file, tasks, chat=chat)
    return [_row(lm, probe, *(samples[task, probe.item_id] for task in tasks_of(probe.kind))) for probe in probes]


def measure_attacked(lm: EvaluatorLM, probes_file: Path, attack: ModelAttack) -> list[dict[str, Any]]:
    """The plain forget questions once more, of a model that was attacked; one row each, under the attack's name."""
    samples = _samples(lm, probes_file, list(FACT_TASKS), chat=True, role="forget")
    rows = [
        _row(lm, probe, *(samples[task, probe.item_id] for task in FACT_TASKS)) for probe in _plain_forget(probes_file)
    ]
    return [row | attack.columns(row["item_id"]) for row in rows]


def attack_not_run(probes_file: Path, attack: ModelAttack) -> list[dict[str, Any]]:
    """The same rows without an answer: of a server's weights, which are not in our hands. Every value is "not run"."""
    probes = _plain_forget(probes_file)
    return [_probe_columns(probe) | _NOTHING_MEASURED | attack.columns(probe.item_id) for probe in probes]


def _plain_forget(probes_file: Path) -> list[Probe]:
    return [p for p in probes_load(probes_file) if p.split_role == "forget" and p.condition == PLAIN]


def _samples(
    lm: EvaluatorLM, probes_file: Path, tasks: list[str], **which: Any
) -> dict[tuple[str, str], dict[str, Any]]:
    """lm-eval's samples by (task, item). `which` goes to the documents: `chat`, and a `role` to ask alone."""
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
    generation, scoring = samples
    response = str(generation["resps"][0][0])
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
    }


#: Every column but the probe's own, empty.
_NOTHING_MEASURED: dict[str, Any] = dict.fromkeys(name for name in TRACE_SCHEMA.names if name not in Probe.model_fields)
