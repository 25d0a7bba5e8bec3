"""Low-rank changes of every matrix of some blocks: trained through hooks, then added to the weights for good."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from methods.common.contract.errors import MethodError
from methods.common.model.base_model import BaseModel


class LowRank:
    """W' = W + (alpha / rank) B A for every matrix W of the blocks from `first` on (Hu et al., LoRA, 2021).

    `tensors` holds A, (rank, in), and B, (out, rank), of each, under "BLOCK.NAME.A" and "BLOCK.NAME.B".
    """

    def __init__(self, base: BaseModel, *, first: int, rank: int, alpha: float) -> None:
        self._base = base
        self._scale = alpha / rank
        self._modules: dict[str, Any] = {
            f"{number}.{name}": module
            for number, block in enumerate(base.layers)
            if number >= first
            for name, module in block.named_modules()
            if _is_matrix(module)
        }
        self.tensors: dict[str, Tensor] = {}
        for name, module in self._modules.items():
            out_size, in_size = _weight(module).shape
            self.tensors[f"{name}.A"] = torch.empty(rank, in_size, device=base.device).uniform_(-1, 1) / math.sqrt(
                in_size
            )
            self.tensors[f"{name}.B"] = torch.zeros(out_size, rank, device=base.device)

    def parameters(self) -> list[Tensor]:
        """A and B of every matrix, open to training."""
        return [tensor.requires_grad_(True) for tensor in self.tensors.values()]

    @contextmanager
    def attached(self) -> Iterator[None]:
        """While it lasts, the model computes with the changes. Gradients pass to A and B."""

        def hook_for(name: str) -> Any:
            a, b = self.tensors[f"{name}.A"], self.tensors[f"{name}.B"]
            return lambda _module, inputs, output: output + self._scale * (inputs[0] @ a.T) @ b.T

        handles = [module.register_forward_hook(hook_for(name)) for name, module in self._modules.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


@torch.no_grad()
def low_rank_merge(base: BaseModel, tensors: dict[str, Tensor], scale: float) -> None:
    """Add scale B A to the weights that trained tensors are named after, in place."""
    for name in sorted({key.rsplit(".", maxsplit=1)[0] for key in tensors}):
        number, _, path = name.partition(".")
        try:
            module = base.layers[int(number)].get_submodule(path)
        except (AttributeError, IndexError, ValueError):
            raise MethodError("state", name, "is not a matrix of the base", "use the base it was made for") from None
        _weight(module).add_(scale * tensors[f"{name}.B"].to(base.device) @ tensors[f"{name}.A"].to(base.device))


def _is_matrix(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def _weight(module: nn.Module) -> Tensor:
    """The weight as (out, in), whatever way the family stores it."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight if isinstance(module, nn.Linear) else weight.T
