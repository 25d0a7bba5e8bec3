"""What the engine bench holds its figures against, and how they come about from what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from evaluator.performance.ceilings import Decoded, ProductTimes, decoded, own_rate, useful_rate
from evaluator.performance.passes import Pass
from evaluator.performance.report import Line
from evaluator.performance.workers import Rounds

#: CPU-seconds, as shares of lm-eval's `hf` at its best batch and of one forward a metric.
MAX_GENERATION = 0.40
MAX_KEPT = 0.30
MAX_CPU_OF_LM_EVAL = 0.25
MAX_CPU_OF_ONE_FORWARD = 0.12
#: Of the rate of the model's own products.
MIN_PRODUCTS_SHARE = 0.85
MAX_OVER_WEIGHTS_MB = 1024.0

Found = Mapping[tuple[str, str], Rounds]


@dataclass(frozen=True)
class Ceilings:
    """One reading of what the machine allows, beside a scoring pass and a generation: GFLOP/s, and bytes a second."""

    scoring: float
    square: float
    own: float
    bytes_per_s: float
    decoding: Decoded

    @classmethod
    def of(
        cls,
        scored: Mapping[str, Any],
        generated: Mapping[str, Any],
        *,
        square: float,
        products: Mapping[str, Any],
        bytes_per_s: float,
    ) -> Ceilings:
        """From the figures of both tasks, the rate of a large square product, and the answers to `sizes_of` of them."""
        times = ProductTimes(
            products["trunk_weights"], products["head_weights"], dict(products["trunk"]), dict(products["head"])
        )
        passes = [Pass.of(record) for record in scored["passes"]]
        steps = decoded(
            [Pass.of(record) for record in generated["passes"]],
            weight_bytes=generated["weight_bytes"],
            position_bytes=generated["position_bytes"],
            bytes_per_s=bytes_per_s,
            products=times,
        )
        own = own_rate(passes, int(scored["head_rows"]), int(scored["head_block"]), times)
        return cls(useful_rate(scored), square, own, bytes_per_s, steps)

    @property
    def own_share(self) -> float:
        return self.scoring / self.own

    @property
    def square_share(self) -> float:
        return self.scoring / self.square


def sizes_of(scored: Mapping[str, Any], generated: Mapping[str, Any]) -> dict[str, Any]:
    """Of which products the times are needed: tokens of a pass, and rows of the head."""
    steps = {step.real for record in generated["passes"] if not (step := Pass.of(record)).reading}
    whole = {Pass.of(record).tokens for record in scored["passes"]}
    block = min(int(scored["head_block"]), int(scored["head_rows"]))
    return {"trunk": sorted(steps | whole), "head": sorted(steps | {block})}


def target_lines(
    found: Found, *, ours: str, theirs: str, theirs_kept: str, one: str, weights_mb: float, ceilings: Sequence[Ceilings]
) -> list[Line]:
    """Every target of the engine with what was measured: medians of the rounds, the most memory of all."""

    def cpu(name: str, *tasks: str) -> float:
        return sum(found[name, task].median("cpu_s") for task in tasks)

    def share(other: str, *tasks: str) -> float:
        return cpu(ours, *tasks) / cpu(other, *tasks)

    peak = max(found[ours, task].most("peak_mb") for task in ("score", "generate", "suite", "kept"))
    return [
        Line("CPU-seconds of generation, share of lm-eval hf's", share(theirs, "generate"), MAX_GENERATION),
        Line(
            "CPU-seconds of generation on the probes of an entry that keeps most answers, share of lm-eval hf's",
            share(theirs_kept, "kept"),
            MAX_KEPT,
        ),
        Line(
            "CPU-seconds of scoring + generation, share of lm-eval hf's",
            share(theirs, "score", "generate"),
            MAX_CPU_OF_LM_EVAL,
        ),
        Line("CPU-seconds of the suite, share of one forward a metric", share(one, "suite"), MAX_CPU_OF_ONE_FORWARD),
        Line(
            "scoring rate, share of the rate of the model's own products",
            median(c.own_share for c in ceilings),
            MIN_PRODUCTS_SHARE,
            at_least=True,
        ),
        Line("peak memory of the process over the weights, MB", peak - weights_mb, MAX_OVER_WEIGHTS_MB),
    ]


def noted(found: Found, *, ours: str, ceilings: Sequence[Ceilings]) -> list[tuple[str, str]]:
    """Figures without a limit, as (what, value)."""
    kept = found[ours, "kept"]
    guessed, accepted = kept.median("guessed"), kept.median("accepted")
    steps = sorted((c.decoding for c in ceilings), key=lambda step: step.share)[len(ceilings) // 2]
    right = f"{accepted:.0f} of {guessed:.0f}" + (f" ({100 * accepted / guessed:.0f} %)" if guessed else "")
    same = f"{kept.median('same_as_base'):.0f}"
    return [
        ("rate of a 2048³ product, GFLOP/s", f"{median(c.square for c in ceilings):.0f}"),
        ("rate of the model's own products at the sizes of a scoring pass", f"{median(c.own for c in ceilings):.0f}"),
        ("scoring rate, share of the rate of a 2048³ product", f"{median(c.square_share for c in ceilings):.2f}"),
        ("memory, GB read a second", f"{median(c.bytes_per_s for c in ceilings) / 1e9:.1f}"),
        ("a step of decoding, ms: took", f"{1e3 * steps.took_s:.1f}"),
        ("… weights and cache at memory's bandwidth", f"{1e3 * steps.memory_s:.1f}"),
        ("… products alone", f"{1e3 * steps.products_s:.1f}"),
        ("… share of its bound (the slower of both)", f"{steps.share:.2f}"),
        ("answers of the entry that keeps most: the base's, word for word", f"{same} of {kept.median('prompts'):.0f}"),
        ("… tokens guessed ahead that were right", right),
    ]
