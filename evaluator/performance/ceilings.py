"""What a machine allows, as arithmetic: the rate of a model's own products, and the least time of a decoding step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evaluator.performance.passes import Pass


@dataclass(frozen=True)
class ProductTimes:
    """Seconds of a model's matrix products alone, its own weights in the order of a pass.

    `trunk`: by tokens of a pass; `head`: by rows. `trunk_weights`, `head_weights`: numbers in these matrices.
    """

    trunk_weights: int
    head_weights: int
    trunk: Mapping[int, float]
    head: Mapping[int, float]

    def step(self, tokens: int) -> float:
        """Seconds of the products of a pass whose every token meets the vocabulary."""
        return self.trunk[tokens] + self.head[tokens]


def own_rate(passes: Sequence[Pass], head_rows: int, block: int, products: ProductTimes) -> float:
    """GFLOP/s of the products of these passes, padding included, were everything else free.

    The head meets `head_rows` rows in blocks of `block`. Raises `ValueError` where nothing was passed.
    """
    work = 2 * (products.trunk_weights * sum(p.tokens for p in passes) + products.head_weights * head_rows)
    if not work:
        raise ValueError("passes: none went through the model, so its products have no rate")
    rows = min(block, head_rows)
    seconds = sum(products.trunk[p.tokens] for p in passes)
    return work / (seconds + (products.head[rows] * head_rows / rows if rows else 0.0)) / 1e9


def useful_rate(figures: Mapping[str, float]) -> float:
    """GFLOP/s of useful multiplications of a scoring pass: no padding, and nothing but products counts as work."""
    trunk = figures["trunk_parameters"] * figures["useful_tokens"]
    return 2 * (trunk + figures["head_parameters"] * figures["head_rows"]) / figures["wall_s"] / 1e9


@dataclass(frozen=True)
class Decoded:
    """A step of decoding, mean of all, in seconds: what it took, and what memory and products alone would have."""

    steps: int
    took_s: float
    memory_s: float
    products_s: float
    bound_s: float

    @property
    def share(self) -> float:
        """Our share of the bound: 1 is a step that takes no longer than it must."""
        return self.bound_s / self.took_s

    @property
    def memory_share(self) -> float:
        """Share of the memory's bandwidth that decoding reaches."""
        return self.memory_s / self.took_s


def decoded(
    passes: Sequence[Pass],
    *,
    weight_bytes: float,
    position_bytes: float,
    bytes_per_s: float,
    products: ProductTimes | None = None,
) -> Decoded:
    """How close decoding comes to its bound, over the passes that read no prompt.

    A step must read every weight and the keys and values of all positions that it sees, and must do its products: the
    slower of the two is its bound. Without `products`, memory alone. Raises `ValueError` where nothing was decoded.
    """
    steps = [p for p in passes if not p.reading]
    if not steps:
        raise ValueError("passes: every answer ended with its first token, so there is no decoding to measure")
    memory = [(weight_bytes + position_bytes * p.seen) / bytes_per_s for p in steps]
    product = [products.step(p.real) if products else 0.0 for p in steps]
    bound = sum(max(pair) for pair in zip(memory, product, strict=True))
    count = len(steps)
    took = sum(p.seconds for p in steps)
    return Decoded(count, took / count, sum(memory) / count, sum(product) / count, bound / count)
