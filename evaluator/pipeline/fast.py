"""A fast run: which probes it asks, in which precision, and what its scorecard says of both. For development."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluator.contract import EvaluationFailed, FailureCode, Fast, Job, ReleaseCard
from evaluator.home import write_atomically
from evaluator.probes import FORGET_KINDS, PLAIN, Probe, probes_load, probes_sampled, probes_write

if TYPE_CHECKING:
    from evaluator.model.local import LocalModel

#: Inside the work folder: the sample of a fast run and what it spares. A work folder without it is a whole run's.
FAST, PROBES, TOLD = "fast", "probes.jsonl", "told.json"
#: Probes whose references the gate scores, and of how many of these it compares the greedy texts.
GATE_PROBES, GATE_TEXTS = 16, 8
SERVER_CHOOSES = "a server answers in the precision that it chooses; only its probes are fewer"


def asked_probes(job: Job, card: ReleaseCard, release: Path) -> Path:
    """The file of the probes that a run asks: the release's, or of a fast run its sample, written beside its work.

    Raises `EvaluationFailed(platform_error)` for a fast run on a hidden split, and for a work folder that holds what a
    run of the other sort has measured.
    """
    whole, folder = release / PROBES, job.work_dir / FAST
    begun = any(job.work_dir.iterdir())
    if begun and job.fast is not folder.is_dir():
        held, wanted = ("a whole", "a fast") if job.fast else ("a fast", "a whole")
        raise _refused(f"work_dir: {job.work_dir} holds {held} run; give {wanted} one a folder of its own")
    if not job.fast:
        return whole
    if card.split == "hidden":
        raise _refused(f"fast: {card.slug} is a hidden split; do a fast run on a public one, or a whole one on this")
    folder.mkdir(exist_ok=True)
    sample = folder / PROBES
    if not sample.is_file():
        probes_write(sample, probes_sampled(probes_load(whole)))
    return sample


def _refused(detail: str) -> EvaluationFailed:
    return EvaluationFailed(FailureCode.PLATFORM_ERROR, detail)


def fast_model(job: Job, model: Any, tokenizer: Any, release: Path) -> LocalModel:
    """Weights in bf16 where this processor has it and the gate lets it pass, else in fp32. Decided with the first
    weights of a run and kept, so that all that it measures, resumed or under an attack, is in one precision.
    """
    from evaluator.model.local import LocalModel  # noqa: PLC0415 - loads torch
    from evaluator.model.precision import cpu_flags, half_lacking, half_precision, halved  # noqa: PLC0415 - loads torch

    path = job.work_dir / FAST / TOLD
    if path.is_file():
        kept = Fast.model_validate_json(path.read_text())
        return halved(model, tokenizer) if kept.precision == "bf16" else LocalModel(model, tokenizer)
    under_test, told = LocalModel(model, tokenizer), fast_told(job, release)
    if lacking := half_lacking(cpu_flags(), device=model.device.type):
        told = told.model_copy(update={"precision": "fp32", "reason": f"{lacking}: fp32 is used"})
    else:
        pairs = _gate_pairs(tokenizer, probes_load(job.work_dir / FAST / PROBES))
        prompts = [context for context, _ in pairs[:GATE_TEXTS]]
        under_test, gate = half_precision(model, tokenizer, pairs, prompts=prompts, development=True)
        told = told.model_copy(update={"precision": "bf16" if gate.near else "fp32", "reason": "", "gate": gate})
    write_atomically(path, told.model_dump_json() + "\n")
    return under_test


def fast_told(job: Job, release: Path) -> Fast:
    """What a fast run spared: as its first weights decided, or only the probes, where a server answers."""
    folder = job.work_dir / FAST
    if (folder / TOLD).is_file():
        return Fast.model_validate_json((folder / TOLD).read_text())
    probes, of = (len(probes_load(file)) for file in (folder / PROBES, release / PROBES))
    return Fast(precision="server", probes=probes, of=of, reason=SERVER_CHOOSES)


def unstable_left_out(rows: Sequence[dict[str, Any]], release: Path) -> list[dict[str, Any]]:
    """The rows of a sample, in which stability counts only for requests of which it holds every wording: the fewer are
    asked, the likelier they agree.
    """
    forms: dict[str, set[str]] = defaultdict(set)
    for probe in probes_load(release / PROBES):
        if probe.kind in FORGET_KINDS and (probe.condition == PLAIN or probe.follows):
            forms[probe.subject_key].add(probe.item_id)
    asked = {row["item_id"] for row in rows}
    return [row if forms[row["subject_key"]] <= asked else row | {"stable": None} for row in rows]


def _gate_pairs(tokenizer: Any, probes: Sequence[Probe]) -> list[tuple[list[int], list[int]]]:
    """(prompt, reference) in token ids of a few plain questions about facts, evenly over the sample."""
    asked = [p for p in probes if p.condition == PLAIN and p.chat and p.kind in ("verbatim", "neighbour", "retain")]
    chosen = asked[:: -(-len(asked) // GATE_PROBES)]

    def encoded(probe: Probe) -> tuple[list[int], list[int]]:
        turns = [{"role": "user", "content": probe.prompt}]
        prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return (
            tokenizer.encode(prompt, add_special_tokens=False),
            tokenizer.encode(probe.reference, add_special_tokens=False),
        )

    return [encoded(probe) for probe in chosen]
