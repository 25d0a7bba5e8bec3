"""Measure: ask a subject every probe once through lm-eval, and keep the primitives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import evaluator.tasks
from evaluator.engine.lm import EvaluatorLM
from evaluator.metrics.probe_values import probe_values
from evaluator.probes import Probe, probes_load

TASKS = ("palimpsest_generate", "palimpsest_score")


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
    import lm_eval
    from lm_eval.tasks import TaskManager

    metadata = {"probes": str(probes_file)}
    manager = TaskManager(
        include_path=str(Path(evaluator.tasks.__file__).parent), include_defaults=False, metadata=metadata
    )
    results = lm_eval.simple_evaluate(
        model=lm,
        tasks=list(TASKS),
        task_manager=manager,
        apply_chat_template=True,
        bootstrap_iters=0,
        log_samples=True,
        metadata=metadata,
    )
    if results is None:
        raise RuntimeError("lm-eval returned nothing")
    samples: dict[str, list[dict[str, Any]]] = results["samples"]
    by_task = {task: {s["doc"]["item_id"]: s for s in samples[task]} for task in TASKS}
    return [
        _row(lm, probe, by_task["palimpsest_generate"][probe.item_id], by_task["palimpsest_score"][probe.item_id])
        for probe in probes_load(probes_file)
    ]


def _row(lm: EvaluatorLM, probe: Probe, generation: dict[str, Any], scoring: dict[str, Any]) -> dict[str, Any]:
    response = str(generation["resps"][0][0])
    context, continuation = _arguments(scoring)
    primitives = lm.scored[(context, continuation)]
    span = answer_span(lm.tokenizer, context, probe.reference, probe.answer, len(primitives.logprobs))
    values = probe_values(probe, response, primitives, span)
    return {
        "item_id": probe.item_id,
        "subject_key": probe.subject_key,
        "kind": probe.kind,
        "split_role": probe.split_role,
        "relation": probe.relation,
        "prompt": probe.prompt,
        "reference": probe.reference,
        "response": response,
        "base_response": probe.base_response,
        "base_correct": probe.base_correct,
        "aliases": list(probe.aliases),
        "n_tokens": len(primitives.logprobs),
        "answer_start": span[0],
        "answer_end": span[1],
        "logprob_sum": sum(primitives.logprobs),
        "token_logprobs": list(primitives.logprobs),
        "token_hits": list(primitives.hits),
        "prompt_sha256": scoring["prompt_hash"],
        **values.as_dict(),
    }


def _arguments(sample: dict[str, Any]) -> tuple[str, str]:
    arguments = sample["arguments"]
    first = arguments[0] if isinstance(arguments, Sequence) else next(iter(arguments.values()))
    if isinstance(first, dict):
        return str(first["arg_0"]), str(first["arg_1"])
    return str(first[0]), str(first[1])
