"""The search for v*: the change at a lookup token after which the model says the target.

Meng et al., "Locating and Editing Factual Associations in GPT" (ROME, 2022), section 3.1; at a block's
output instead of the MLP's it is the z of "Mass-Editing Memory in a Transformer" (MEMIT, 2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from methods.common.editing.edits import Edit, EditSettings
from methods.common.model.base_model import BaseModel
from methods.common.model.partial_forward import Lookahead, Site


class Change(Protocol):
    """What is searched: anything with parameters that comes to one vector, (width,)."""

    def __call__(self) -> Tensor: ...

    def parameters(self) -> list[nn.Parameter]:
        """What the optimiser moves."""
        ...

    def shrink(self, factor: float) -> None:
        """Scale the vector by a factor below 1, in place."""
        ...


class FreeChange:
    """A vector of its own: every number is free, and all start at zero."""

    def __init__(self, width: int, device: torch.device) -> None:
        self.delta = nn.Parameter(torch.zeros(width, device=device))

    def __call__(self) -> Tensor:
        return self.delta

    def parameters(self) -> list[nn.Parameter]:
        return [self.delta]

    def shrink(self, factor: float) -> None:
        self.delta.data.mul_(factor)


@dataclass(frozen=True)
class ValueChange:
    """`delta` (width,), what stood at the lookups before, one row a context, and the last NLL per target token."""

    delta: Tensor
    present: Tensor
    nll: float


def value_change(
    base: BaseModel,
    layer: int,
    edit: Edit,
    settings: EditSettings,
    *,
    site: Site = "value",
    change: Change | None = None,
) -> ValueChange:
    """delta = v* - v: what to add at the lookup so that the target is said.

    Minimises mean NLL(target | context) + kl_factor KL(before || after | "{subject} is a")
    + v_weight_decay ||delta||^2 / ||v||^2 by Adam, with ||delta|| <= v_clamp ||v||. The tokens before
    the lookup cannot depend on delta, so their keys and values of attention are computed once.
    """
    contexts, target = edit.contexts, edit.target
    essences = edit.essences if settings.kl_factor > 0 else ()
    rows = [(item, target) for item in contexts] + [(item, ()) for item in essences]
    look = Lookahead(base, layer, rows, site)
    present = look.present[: len(contexts)]
    v_norm = float(present.norm(dim=-1).mean())
    change = change or FreeChange(present.shape[1], base.device)
    optimiser = torch.optim.Adam(change.parameters(), lr=settings.v_learning_rate)
    before: Tensor | None = None
    targets = torch.tensor(target, device=base.device).repeat(len(contexts))
    nll_value = float("inf")
    for step in range(settings.v_steps + 1):
        delta = change()
        hidden = look.hidden(delta)
        spans = [hidden[row, look.answer_from[row] :][: len(target)] for row in range(len(contexts))]
        nll = nn.functional.cross_entropy(base.logits(torch.cat(spans)), targets)
        nll_value = float(nll.detach())
        if nll_value < settings.v_stop_at or step == settings.v_steps:
            break
        loss = nll + settings.v_weight_decay * delta.square().sum() / v_norm**2
        if essences:
            lasts = [hidden[row, look.last[row]] for row in range(len(contexts), len(rows))]
            after = base.logits(torch.stack(lasts)).log_softmax(-1)
            before = after.detach() if before is None else before
            loss = loss + settings.kl_factor * (before.exp() * (before - after)).sum(-1).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        with torch.no_grad():
            norm = float(change().norm())
            if norm > settings.v_clamp * v_norm:
                change.shrink(settings.v_clamp * v_norm / norm)
    return ValueChange(change().detach(), present, nll_value)
