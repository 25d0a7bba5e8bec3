"""MEMIT with refusals as the new objects: all requests in one update, spread over several layers.

Meng et al., "Mass-Editing Memory in a Transformer", ICLR 2023; the refusal target follows "Knowledge
Editing as Unlearning", arXiv 2505.19855. In the paper's symbols: z_i the state behind the last edited
layer L that makes the model say target i, K the keys of all requests at layer l, C = E[k k^T] over
neutral text, R the share of the residuals z_i - h_i that layer l is to take up, and

    W_l' = W_l + R K^T (lambda C + K K^T)^-1        for every l, from the lowest to L
"""

from __future__ import annotations

from dataclasses import dataclass

from methods.common.contract.task import MethodResult, Task, progress
from methods.common.editing.edits import EditSettings, edits_of
from methods.common.editing.residual_spread import columns_of, spread
from methods.common.editing.retain_keys import retain_covariances
from methods.common.editing.solve import least_squares_update
from methods.common.editing.values import value_change
from methods.common.model.base_model import model_of
from methods.common.model.weights import changed_weights_save


@dataclass(frozen=True)
class Settings(EditSettings):
    """Blocks 4 to 8 of 30 of the default base; `covariance_weight` is lambda. See docs/methods/memit.md."""

    v_steps: int = 20
    first_depth: float = 0.14
    last_depth: float = 0.27
    covariance_weight: float = 20.0
    neighbour_weight: float = 10.0


def unlearn(task: Task, settings: Settings) -> MethodResult:
    base = model_of(task)
    layers = base.layers_between(settings.first_depth, settings.last_depth)
    edits = edits_of(base, task.forget, settings, seed=task.job.seed)
    C = retain_covariances(base, layers, task, settings)
    columns = []
    for number, edit in enumerate(edits.items):
        progress(0.25 + 0.65 * number / len(edits.items), f"value {number + 1} of {len(edits.items)}")
        columns += columns_of(edit.questions, value_change(base, layers[-1], edit, settings, site="state"))
    progress(0.9, "writing")
    spread(base, layers, columns, lambda at, K, R: least_squares_update(K, R, C[at], settings.covariance_weight))
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return MethodResult(kind="weights", stores_forget_text=False, notes=edits.notes)
