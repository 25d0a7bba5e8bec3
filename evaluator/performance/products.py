"""A model's matrix products alone, and what memory gives: measured on the device that the model is on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from evaluator.model.engine.linear import PackedLinear, PackedMatrix, packs

#: So many times larger than the largest cache is what memory's bandwidth is measured on, and at least so large.
OVER_CACHES = 4
LEAST_BYTES = 2**29
REPEATS = 4
#: Below this many rows, the weights on the left are often the faster order.
FEW_ROWS = 64


def _best(work: Callable[[], object], device: torch.device, repeats: int = REPEATS) -> float:
    """Least seconds of some repeats after one for warmth; a card is waited for."""

    def done() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    best = float("inf")
    for number in range(repeats + 1):
        done()
        began = time.perf_counter()
        work()
        done()
        if number:
            best = min(best, time.perf_counter() - began)
    return best


class Products:
    """The products of every linear layer of a model, in the order of a pass, so that weights come from memory as they
    do there. Raises `ValueError` for a model without linear layers.
    """

    def __init__(self, model: Any) -> None:
        self.trunk: list[torch.Tensor] = [
            module.weight for module in model.base_model.modules() if isinstance(module, torch.nn.Linear | PackedLinear)
        ]
        self.head: list[torch.Tensor] = [model.get_output_embeddings().weight]
        if not self.trunk:
            raise ValueError(f"model: {model.config.model_type} has no linear layers whose products could be measured")

    @torch.inference_mode()
    def seconds(self, weights: Sequence[torch.Tensor], rows: int) -> float:
        """Of the products of (rows, inner) activations with each (outer, inner) weight, in the fastest way: rows times
        weight, weight times rows, or with the weight laid out for the processor.
        """
        first = weights[0]
        given = {weight.shape[1]: first.new_ones((rows, weight.shape[1])) for weight in weights}
        found = {weight.shape[0]: first.new_empty((rows, weight.shape[0])) for weight in weights}
        turned = {outer: room.view(outer, rows) for outer, room in found.items()}

        def right() -> None:
            for weight in weights:
                torch.mm(given[weight.shape[1]], weight.t(), out=found[weight.shape[0]])

        def left() -> None:
            for weight in weights:
                torch.mm(weight, given[weight.shape[1]].t(), out=turned[weight.shape[0]])

        matrices = [PackedMatrix(weight) for weight in weights if packs(weight)]

        def packed() -> None:
            for matrix, weight in zip(matrices, weights, strict=True):
                matrix(given[weight.shape[1]])

        orders = [right, *([left] if rows < FEW_ROWS else []), *([packed] if matrices else [])]
        return min(_best(order, first.device) for order in orders)

    def times(self, trunk: Sequence[int], head: Sequence[int]) -> dict[str, Any]:
        """What `ceilings.ProductTimes` needs, for passes of so many tokens and so many rows of the head, as JSON."""
        return {
            "trunk_weights": sum(weight.numel() for weight in self.trunk),
            "head_weights": self.head[0].numel(),
            "trunk": [(rows, self.seconds(self.trunk, rows)) for rows in sorted(set(trunk))],
            "head": [(rows, self.seconds(self.head, rows)) for rows in sorted(set(head))],
        }


def largest_cache(root: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Bytes of the processor's largest cache (Linux); 0 where it does not say."""
    sizes = [file.read_text().strip() for file in root.glob("index*/size")]
    unit = {"K": 2**10, "M": 2**20, "G": 2**30}
    return max((int(size[:-1]) * unit[size[-1]] for size in sizes if size[-1:] in unit), default=0)


def read_rate(bytes_: int | None = None) -> float:
    """Bytes a second that the processor reads from memory with the threads that torch has: the best of adding up a
    buffer larger than the caches, and of multiplying it with a vector.
    """
    size = bytes_ or max(LEAST_BYTES, OVER_CACHES * largest_cache())
    buffer = torch.ones((size // 4096, 1024))
    vector, device = torch.ones(1024), torch.device("cpu")
    seconds = min(_best(buffer.sum, device), _best(lambda: torch.mv(buffer, vector), device))
    return buffer.numel() * buffer.itemsize / seconds


def copy_rate(device: torch.device, bytes_: int = 2**30) -> float:
    """Bytes a second of a copy within a device's memory, those read and those written counted."""
    source = torch.ones(bytes_ // 4, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() * source.itemsize / _best(lambda: target.copy_(source), device)
