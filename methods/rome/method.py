"""ROME with a refusal as the new object: one rank-one edit a request, one after the other.

Meng et al., "Locating and Editing Factual Associations in GPT", NeurIPS 2022; the refusal target
follows "Knowledge Editing as Unlearning", arXiv 2505.19855. In the paper's symbols: k* the key of the
subject, v* the value that makes the model say the target, C = E[k k^T] over neutral text, and

    W' = W + (v* - W k*) (C^-1 k*)^T / ((C^-1 k*)^T k*)

so that W' k* = v* while keys that C holds to be common move least.
"""

from __future__ import annotations

from dataclasses import dataclass

from methods.common.contract.task import MethodResult, Task, progress
from methods.common.editing.edits import EditSettings, edits_of
from methods.common.editing.rank_one import rank_one_write
from methods.common.editing.retain_keys import retain_covariances
from methods.common.editing.values import value_change
from methods.common.model.base_model import model_of
from methods.common.model.weights import changed_weights_save


@dataclass(frozen=True)
class Settings(EditSettings):
    """`depth` 0.14 is block 4 of 30 of the default base; see docs/methods/rome.md."""

    depth: float = 0.14


def unlearn(task: Task, settings: Settings) -> MethodResult:
    base = model_of(task)
    layer = base.layer_at("hparams.depth", settings.depth)
    edits = edits_of(base, task.forget, settings, seed=task.job.seed)
    C = retain_covariances(base, [layer], task, settings)[layer]
    for number, edit in enumerate(edits.items):
        progress(0.25 + 0.7 * number / len(edits.items), f"edit {number + 1} of {len(edits.items)}")
        sought = value_change(base, layer, edit, settings)
        rank_one_write(base, layer, edit, sought.delta, C)
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return MethodResult(kind="weights", stores_forget_text=False, notes=edits.notes)
