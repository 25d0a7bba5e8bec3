"""Linear layers whose matrix lies as the processor reads it: products of few rows take half the time."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

#: Rows that the layout is made for; any number works.
_ROWS = 64


def packs(weight: torch.Tensor) -> bool:
    """Whether a matrix can be laid out so: float32 on a processor for which torch brings oneDNN."""
    there = bool(torch._C._has_mkldnn)  # noqa: SLF001 - what torch.backends.mkldnn asks
    return there and weight.device.type == "cpu" and weight.dtype == torch.float32


class PackedMatrix:
    """A matrix (outputs, inputs) for products with rows (…, inputs); outside gradients only."""

    def __init__(self, weight: torch.Tensor) -> None:
        self._packed: Any = torch.ops.mkldnn._reorder_linear_weight(  # noqa: SLF001 - as torch's own compiler does
            weight.detach().contiguous(), _ROWS
        )

    def __call__(self, rows: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001 - as above
            rows, self._packed, bias, "none", [], ""
        )
        return found

    def dense(self) -> torch.Tensor:
        """The matrix as it was given, bit for bit."""
        found: torch.Tensor = self._packed.to_dense()
        return found


class PackedLinear(nn.Module):
    """In the place of an `nn.Linear`, which it is equal to; keeps its matrix in the packed form only."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias
        self._matrix: PackedMatrix | torch.Tensor = PackedMatrix(linear.weight)

    @property
    def weight(self) -> torch.Tensor:
        """The matrix (outputs, inputs); where it is packed, a copy: writing to it changes nothing."""
        return self._matrix.dense() if isinstance(self._matrix, PackedMatrix) else self._matrix

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        if isinstance(self._matrix, PackedMatrix) and not torch.is_grad_enabled():
            return self._matrix(rows, self.bias)
        return nn.functional.linear(rows, self.weight, self.bias)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """What `to(...)` does to every tensor of a module: the matrix stays packed where it still can be."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._set(fn(self.weight))
        return self

    def _set(self, weight: torch.Tensor) -> None:
        self._matrix = PackedMatrix(weight) if packs(weight) else weight

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "weight"] = self.weight

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *others: Any) -> None:
        given = {name: value for name, value in state_dict.items() if name != prefix + "weight"}
        super()._load_from_state_dict(given, prefix, *others)
        if prefix + "weight" in state_dict:
            self._set(state_dict[prefix + "weight"].detach().clone())
        else:
            others[2].append(prefix + "weight")


def linears_pack(model: nn.Module) -> None:
    """Put a `PackedLinear` in the place of every linear layer that can be packed; the model answers as before."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            # Of a subclass nobody knows what else it does; a layer that is listened to must stay.
            if type(child) is nn.Linear and packs(child.weight) and not child._forward_hooks:  # noqa: SLF001
                setattr(module, name, PackedLinear(child))
