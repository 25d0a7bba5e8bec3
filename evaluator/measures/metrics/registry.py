"""How a column comes to the board: a formula over means, registered by `@metric`, in the order of registration."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from evaluator.contract import MetricGroup, MetricInfo
from evaluator.contract.values import VALUE_NAMES
from evaluator.measures.metrics.deviation import FloatArray
from evaluator.probes import PLAIN

#: Name of a mean (a key of `axes.MEANS`) -> its value.
Means = Mapping[str, FloatArray]


@dataclass(frozen=True)
class Mean:
    """Which probes are averaged: the value, the kinds of probe, whether only those count that the base answered
    correctly, and under which conditions they were asked (None: any). Raises `ValueError` for a value that no probe
    has.
    """

    value: str
    kinds: tuple[str, ...]
    base_correct: bool = False
    conditions: tuple[str, ...] | None = (PLAIN,)

    def __post_init__(self) -> None:
        if self.value not in VALUE_NAMES:
            raise ValueError(f"mean: {self.value!r} is no value of a probe; known: {', '.join(VALUE_NAMES)}")


@dataclass(frozen=True)
class Metric:
    """One column of the board."""

    key: str
    version: int
    label: str
    group: MetricGroup
    direction: Literal["up", "down"]
    compute: Callable[[Means], FloatArray]
    headline: bool = False
    #: The attack that it tells of; only releases that ask under it have this column.
    condition: str = PLAIN
    example: str = ""

    def info(self) -> MetricInfo:
        return MetricInfo(
            key=self.key,
            version=f"{self.key}@{self.version}",
            label=self.label,
            direction=self.direction,
            group=self.group,
            help=" ".join((inspect.getdoc(self.compute) or "").split()),
            example=self.example,
            headline=self.headline,
        )


_REGISTERED: dict[str, Metric] = {}


def metric(
    version: int,
    label: str,
    group: MetricGroup,
    direction: Literal["up", "down"],
    *,
    headline: bool = False,
) -> Callable[[Callable[[Means], FloatArray]], Callable[[Means], FloatArray]]:
    """Register a formula as a column; its name is the key, its docstring the help. Raises `ValueError` for a second
    one of that name, or one without a docstring.
    """

    def register(compute: Callable[[Means], FloatArray]) -> Callable[[Means], FloatArray]:
        key = compute.__name__
        if key in _REGISTERED or not compute.__doc__:
            raise ValueError(f"metric {key!r}: {'is there already' if compute.__doc__ else 'has no docstring'}")
        _REGISTERED[key] = Metric(key, version, label, group, direction, compute, headline)
        return compute

    return register


def metrics_registered() -> tuple[Metric, ...]:
    return tuple(_REGISTERED.values())
