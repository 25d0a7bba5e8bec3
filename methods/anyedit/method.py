"""AnyEdit with refusals as targets: a text of any length is edited window by window, without a subject.

Jiang et al., "AnyEdit: Edit Any Knowledge Encoded in Language Models", 2025 (arXiv 2502.05628), in its
MEMIT form. In the paper's symbols: the target Y is cut into windows Y_1 … Y_J; the token before window
j is looked up, and its state h_j becomes the z_j after which the model says Y_j, with z_1 … z_{j-1}
already in place:

    z_j = h_j + argmin over delta of  NLL(Y_j | X, Y_1, …, Y_{j-1};  h_i -> z_i for i < j,  h_j -> h_j + delta)

Then all keys and residuals, of all windows of all requests, go into one update spread over several layers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from methods.common.contract.errors import MethodError
from methods.common.contract.task import MethodResult, Task, progress
from methods.common.editing.edits import Edit, EditSettings, edits_of
from methods.common.editing.residual_spread import Column, columns_of, spread
from methods.common.editing.retain_keys import retain_covariances
from methods.common.editing.solve import least_squares_update
from methods.common.editing.values import value_change
from methods.common.model.base_model import BaseModel, model_of
from methods.common.model.partial_forward import Context
from methods.common.model.weights import changed_weights_save


@dataclass(frozen=True)
class Settings(EditSettings):
    """`window` is in tokens; `covariance_weight` is lambda. See docs/methods/anyedit.md."""

    v_steps: int = 20
    first_depth: float = 0.14
    last_depth: float = 0.27
    covariance_weight: float = 20.0
    neighbour_weight: float = 10.0
    window: int = 40


def unlearn(task: Task, settings: Settings) -> MethodResult:
    if settings.window < 1:
        raise MethodError("hparams.window", settings.window, "holds no token", "choose 1 or more")
    base = model_of(task)
    layers = base.layers_between(settings.first_depth, settings.last_depth)
    edits = edits_of(base, task.forget, settings, seed=task.job.seed)
    # It looks up where the answer begins, so that is where other questions are to stay as they are.
    C = retain_covariances(base, layers, task, settings, at_answer=True)
    columns = []
    for number, edit in enumerate(edits.items):
        progress(0.25 + 0.65 * number / len(edits.items), f"target {number + 1} of {len(edits.items)}")
        columns += window_columns(base, layers[-1], edit, settings)
    progress(0.9, "writing")
    spread(base, layers, columns, lambda at, K, R: least_squares_update(K, R, C[at], settings.covariance_weight))
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return MethodResult(kind="weights", stores_forget_text=False, notes=edits.notes)


def window_columns(base: BaseModel, layer: int, edit: Edit, settings: Settings) -> list[Column]:
    """The columns of every window of a target, in order; each is sought with the windows before it in place."""
    questions = tuple(
        tuple(Context(context.ids, len(context.ids) - 1) for context in wordings) for wordings in edit.questions
    )
    columns: list[Column] = []
    for start in range(0, len(edit.target), settings.window):
        part = edit.target[start : start + settings.window]
        step = replace(edit, questions=questions, target=part, essences=())
        sought = value_change(base, layer, step, settings, site="state")
        columns += columns_of(questions, sought)
        questions = tuple(tuple(c.continued(part, sought.delta) for c in wordings) for wordings in questions)
    return columns
