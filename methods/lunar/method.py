"""LUNAR: lead the forget questions to where the model already says that it cannot answer.

Shen et al., "LUNAR: LLM Unlearning via Neural Activation Redirection", NeurIPS 2025. At layer l, r is
the mean state of the last prompt token over questions that the model refuses minus that over the forget
questions; W, the layer's down projection, shall write r on top on forget tokens (keys k_f) and nothing
new on retain tokens (keys k_r). The paper trains W; its objective is a least-squares problem with the
closed solution

    W' = W + c r a^T,   a = (K_f K_f^T + w K_r K_r^T + ridge I)^-1 K_f 1

K_f and K_r holding the keys in columns, each divided by the root of their number. Tokens that a forget
question shares with retain questions, the template's and "What is the capital of", are no forget tokens:
they would be shifted in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.common.contract.errors import MethodError
from methods.common.contract.task import MethodResult, Request, Task, progress
from methods.common.model.base_model import BaseModel, common_length, model_of
from methods.common.model.inference import continue_greedily
from methods.common.model.states import block_keys, block_states, own_part
from methods.common.model.weights import changed_weights_save
from methods.common.targets.training_texts import retain_pairs
from methods.lunar.refused import INVENTED, UNANSWERABLE, is_refusal


@dataclass(frozen=True)
class Settings:
    """`depth` 0.5 is block 15 of 30 of the default base; see docs/methods/lunar.md.

    `template` shifts the template's words behind the question too, as the published code does.
    """

    depth: float = 0.5
    coefficient: float = 2.0
    retain_weight: float = 10.0
    ridge: float = 0.01
    template: bool = True
    invented: tuple[str, ...] = INVENTED
    unanswerable: tuple[str, ...] = UNANSWERABLE


def unlearn(task: Task, settings: Settings) -> MethodResult:
    retain = task.retain()
    base = model_of(task)
    layer = base.layer_at("hparams.depth", settings.depth)
    progress(0.1, "questions that the base refuses")
    refused = refused_prompts(base, task.forget, settings)
    forget = [base.chat.prompt_ids(item.prompt) for item in task.forget]
    progress(0.5, "the refusal direction")
    r = _last_state(base, layer, refused) - _last_state(base, layer, forget)
    progress(0.6, "the model's own answers")
    keep = [item.ids for item in retain_pairs(base, retain)]
    progress(0.8, "least squares")
    starts = [own_part(row, keep) for row in forget]
    asked = [*forget, *(base.chat.prompt_ids(item.prompt) for item in retain)]
    footer = 0 if settings.template else _common_end(asked)
    with torch.no_grad():
        keys = block_keys(base, layer, forget)
        K_f = torch.cat([k[start : max(start + 1, len(k) - footer)] for k, start in zip(keys, starts, strict=True)])
        # Position 0 carries a massive activation that no question can change.
        K_r = torch.cat([k[1:] for k in block_keys(base, layer, keep)])
        a = separating(K_f.double(), K_r.double(), weight=settings.retain_weight, ridge=settings.ridge)
        W = base.down_weight(layer)
        W.add_(settings.coefficient * torch.outer(r, a.to(r)))
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return MethodResult(kind="weights", stores_forget_text=False)


def separating(K_f: Tensor, K_r: Tensor, *, weight: float, ridge: float) -> Tensor:
    """a, (keys,): its product with a forget key is near 1 and with a retain key near 0; keys are rows here."""
    gram = K_f.T @ K_f / len(K_f) + weight * K_r.T @ K_r / len(K_r)
    damped = gram + ridge * gram.diagonal().mean() * torch.eye(len(gram)).to(gram)
    a: Tensor = torch.linalg.solve(damped, K_f.mean(0))
    return a


def refused_prompts(base: BaseModel, requests: Sequence[Request], settings: Settings) -> list[list[int]]:
    """Token ids of the candidates that the base answers with a refusal.

    Candidates are questions that nobody can answer, and the requests with an invented subject.
    """
    asked = list(settings.unanswerable)
    for number, request in enumerate(requests):
        if request.subject is not None and settings.invented:
            name = settings.invented[number % len(settings.invented)]
            asked.append(request.prompt.replace(request.subject, name))
    prompts = [base.chat.prompt_ids(question) for question in dict.fromkeys(asked)]
    said = continue_greedily(base, prompts, 16) if prompts else []
    found = [ids for ids, (written, _) in zip(prompts, said, strict=True) if is_refusal(base.chat.decode(written))]
    if not found:
        raise MethodError(
            "hparams.unanswerable", settings.unanswerable, "holds no question that this base refuses", "add some"
        )
    return found


def _common_end(rows: Sequence[Sequence[int]]) -> int:
    """How many last ids all rows share: the template's words behind a question, and its question mark."""
    return common_length([row[::-1] for row in rows])


@torch.no_grad()
def _last_state(base: BaseModel, layer: int, rows: Sequence[Sequence[int]]) -> Tensor:
    """The mean state behind block `layer` at the last token of every row: (width,)."""
    return torch.stack([states[-1] for states in block_states(base, layer, rows)]).mean(0)
