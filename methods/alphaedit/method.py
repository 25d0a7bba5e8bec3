"""AlphaEdit with refusals as the new objects: MEMIT's update, projected to where no kept key is moved.

Fang et al., "AlphaEdit: Null-Space Constrained Knowledge Editing for Language Models", ICLR 2025; the
refusal target follows "Knowledge Editing as Unlearning", arXiv 2505.19855. In the paper's symbols: P
projects keys to the null space of C = E[k k^T] over neutral text, Kp are the keys of earlier batches,
K and R keys and residuals of this one as in MEMIT, and at every edited layer

    W' = W + R K^T P (Kp Kp^T P + K K^T P + alpha I)^-1
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from methods.common.contract.errors import MethodError
from methods.common.contract.task import MethodResult, Task, progress
from methods.common.editing.edits import EditSettings, edits_of
from methods.common.editing.residual_spread import columns_of, keys_of, spread
from methods.common.editing.retain_keys import retain_covariances
from methods.common.editing.solve import null_space_projection, projected_update
from methods.common.editing.values import value_change
from methods.common.model.base_model import BaseModel, model_of
from methods.common.model.weights import changed_weights_save, tensor_before


@dataclass(frozen=True)
class Settings(EditSettings):
    """The depths are blocks 4 to 8 of 30 of the default base; `ridge` is alpha. See docs/methods/alphaedit.md."""

    v_steps: int = 20
    first_depth: float = 0.14
    last_depth: float = 0.27
    null_share: float = 0.8
    ridge: float = 0.5
    batch: int = 5


def unlearn(task: Task, settings: Settings) -> MethodResult:
    if settings.batch < 1:
        raise MethodError("hparams.batch", settings.batch, "holds no request", "choose 1 or more")
    if not 0.0 < settings.null_share < 1.0:
        raise MethodError("hparams.null_share", settings.null_share, "is not a share", "choose between 0 and 1")
    base = model_of(task)
    layers = base.layers_between(settings.first_depth, settings.last_depth)
    edits = edits_of(base, task.forget, settings, seed=task.job.seed)
    C = retain_covariances(base, layers, task, settings)
    P = {layer: null_space_projection(C[layer], settings.null_share) for layer in layers}
    # Kp Kp^T, the keys of what was edited before. Without it a batch would undo the batches before it.
    KpKp = {layer: previous_keys(task, base, layer, C[layer]) for layer in layers}
    for start in range(0, len(edits.items), settings.batch):
        columns = []
        for number, edit in enumerate(edits.items[start : start + settings.batch], start=start):
            progress(0.25 + 0.7 * number / len(edits.items), f"value {number + 1} of {len(edits.items)}")
            columns += columns_of(edit.questions, value_change(base, layers[-1], edit, settings, site="state"))
        spread(base, layers, columns, lambda at, K, R: projected_update(K, R, P[at], KpKp[at], settings.ridge))
        for layer in layers:
            K = keys_of(base, layer, columns)
            KpKp[layer] += K @ K.T
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return MethodResult(kind="weights", stores_forget_text=False, notes=edits.notes)


def previous_keys(task: Task, base: BaseModel, layer: int, C: Tensor) -> Tensor:
    """Kp Kp^T, (keys, keys), of the steps before on a sequential track; zero on a first step.

    An artifact holds weights only, so the keys are read off what the steps before did to W: the rows of
    R K^T P (…)^-1 span the projected keys. Their size is lost; that of an average key stands in for it.
    """
    if task.previous_dir is None:
        return torch.zeros_like(C)
    module = base.down_projection(layer)
    weight = module.weight
    assert isinstance(weight, Tensor)
    change = (weight - tensor_before(base.model, task.base_dir, weight)).double()
    _, sizes, rows = torch.linalg.svd(change if isinstance(module, nn.Linear) else change.T, full_matrices=False)
    spanned = rows[sizes > 0.01 * sizes[0]]  # Below lies what rounding to the base's type leaves.
    keys: Tensor = C.trace() * spanned.T @ spanned
    return keys
