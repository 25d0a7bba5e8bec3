"""GRACE: a codebook of keys and values on one late layer; what lies outside every radius is deferred to the base.

Hartvigsen et al., "Aging with GRACE: Lifelong Model Editing with Discrete Key-Value Adaptors", NeurIPS
2023. In the paper's symbols: h is the state that enters layer l at the last token of the prompt, and

    h^l  =  v_i        if i = argmin_i d(h, k_i) and d(h, k_i) <= eps_i      (the codebook answers)
            f^l(h)     otherwise                                             (deferral)

Here f^l is the MLP of block l, whose output at that one token is replaced. A value is learned by
gradient descent on the refusal; keys that come too near to each other share out the room between them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from methods.common.contract.answers import Responder
from methods.common.contract.task import MethodResult, Request, Task, progress
from methods.common.contract.tensor_file import tensors_load, tensors_save
from methods.common.model.base_model import BaseModel, model_of
from methods.common.model.soft_tokens import Soft
from methods.common.model.upper_blocks import UpperBlocks, value_hook
from methods.common.serving.responders import Plan, RoutingResponder, Say
from methods.common.serving.retrieval import AnswerStates, Keys, deferral_radii
from methods.common.serving.server_state import served_base, state_read, state_write
from methods.common.targets.sources import targets_of


@dataclass(frozen=True)
class Settings:
    """`reach`: the first radius, as a share of the usual distance to a question that is to be kept."""

    target: str = "template"
    depth: float = 0.87
    reach: float = 0.8
    steps: int = 50
    learning_rate: float = 1.0
    stop_at: float = 0.02


@dataclass(frozen=True)
class Codebook:
    """Keys, (entries, width), their radii and values, and which refusal each entry stands for."""

    keys: Tensor
    radii: Tensor
    values: Tensor
    labels: tuple[str, ...]

    def with_entry(self, key: Tensor, value: Tensor, label: str, eps: float) -> Codebook:
        """The codebook after one edit, by the three cases of the paper's section 3.1."""
        radii = self.radii.clone()
        if len(self.keys):
            distances = torch.linalg.vector_norm(self.keys - key, dim=1)
            near = int(distances.argmin())
            distance = float(distances[near])
            if distance <= float(radii[near]) + eps:
                if self.labels[near] == label:
                    # The same refusal: the entry there is widened.
                    radii[near] = max(float(radii[near]), distance)
                    return Codebook(self.keys, radii, self.values, self.labels)
                # Another refusal: the two split the room between them.
                radii[near], eps = distance / 2 - 1e-5, distance / 2
        return Codebook(
            torch.cat([self.keys, key[None]]),
            torch.cat([radii, torch.tensor([eps])]),
            torch.cat([self.values, value[None]]),
            (*self.labels, label),
        )


def unlearn(task: Task, settings: Settings) -> MethodResult:
    retain = task.retain()
    base = model_of(task)
    layer = base.layer_at("hparams.depth", settings.depth)
    space = AnswerStates(base, layer)
    keys = space.of_questions([item.prompt for item in task.forget])
    radii = deferral_radii(keys, space.of_questions([item.prompt for item in retain]), settings.reach)
    book = _codebook_before(task, keys.shape[1])
    targets = targets_of(base, task.forget, settings.target, seed=task.job.seed, variety=1)
    entries = zip(task.forget, keys, radii.tolist(), targets.texts, strict=True)
    for number, (request, key, eps, refusal) in enumerate(entries):
        progress(0.1 + 0.85 * number / len(task.forget), f"edit {number + 1} of {len(task.forget)}")
        value = value_learned(base, layer, request, refusal, settings)
        book = book.with_entry(key, value, hashlib.sha256(refusal.encode()).hexdigest(), eps)
    tensors_save(task.state_dir, "codebook", {"keys": book.keys, "radii": book.radii, "values": book.values})
    return state_write(task, requests=False, reported=targets.notes, layer=layer, labels=list(book.labels))


def value_learned(base: BaseModel, layer: int, request: Request, refusal: str, settings: Settings) -> Tensor:
    """The value, (width,), with which the refusal follows: Adam on its NLL, from the layer's own output on."""
    prompt, target = base.chat.prompt_ids(request.prompt), base.chat.response_ids(refusal)
    last = len(prompt) - 1
    upper = UpperBlocks(base, layer, [[*prompt, *target]])
    targets = torch.tensor(target, device=base.device)
    value: Tensor | None = None

    def replace_last(_keys: Tensor, output: Tensor) -> Tensor:
        nonlocal value
        if value is None:
            value = output[0, last].detach().clone().requires_grad_(True)
        output = output.clone()
        output[0, last] = value
        return output

    optimiser: torch.optim.Adam | None = None
    with value_hook(base, layer, replace_last):
        for step in range(settings.steps + 1):
            nll = nn.functional.cross_entropy(base.logits(upper.hidden()[0, last : last + len(target)]), targets)
            assert value is not None
            if float(nll.detach()) < settings.stop_at or step == settings.steps:
                break
            optimiser = optimiser or torch.optim.Adam([value], lr=settings.learning_rate)
            optimiser.zero_grad()
            nll.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    assert value is not None
    return value.detach().cpu()


def respond(state_dir: Path, base_dir: Path, threads: int) -> Responder:
    state, book = state_read(state_dir), tensors_load(state_dir, "codebook")
    base = served_base(state, base_dir, threads)
    layer = int(state["layer"])
    space = AnswerStates(base, layer)
    keys = Keys(book["keys"], book["radii"])

    def route(contexts: Sequence[tuple[int, ...]]) -> list[Plan]:
        plans: list[Plan] = []
        for context, entry in zip(contexts, keys.nearest(space.of_contexts(contexts)), strict=True):
            if entry is None:
                plans.append(Say(context))
            else:
                place = Soft(token=context[-1], layer=layer, value=book["values"][entry])
                plans.append(Say((*context[:-1], place)))
        return plans

    return RoutingResponder(base, route)


def _codebook_before(task: Task, width: int) -> Codebook:
    """Empty, or that of the step before on a sequential track."""
    if task.previous_dir is None:
        return Codebook(torch.empty(0, width), torch.empty(0), torch.empty(0, width), ())
    state_dir = task.previous_dir / "state"
    return Codebook(**tensors_load(state_dir, "codebook"), labels=tuple(state_read(state_dir)["labels"]))
