"""What goes through a model, pass by pass: padded tokens, real ones, positions looked back at, seconds."""

from __future__ import annotations

import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: One pass as a line of JSON: padded tokens, real tokens, positions seen, 1 while prompts are read, seconds.
Record = tuple[int, int, int, int, float]


@dataclass(frozen=True)
class Pass:
    """One forward pass of the trunk.

    `tokens`: with padding; `real`: without; `seen`: positions whose keys and values are needed, of all rows together;
    `reading`: whether prompts are read, and not what follows them; `seconds`: until the next pass or the task's end.
    """

    tokens: int
    real: int
    seen: int
    reading: bool
    seconds: float

    @classmethod
    def of(cls, record: Sequence[float]) -> Pass:
        tokens, real, seen, reading, seconds = record
        return cls(int(tokens), int(real), int(seen), bool(reading), float(seconds))


@dataclass
class _Begun:
    """What a pass began with; positions are looked at when the task is over, so that no device waits for it."""

    at: float
    rows: int
    width: int
    positions: Any
    cache: int


class PassCounter:
    """Counts what goes through the trunk and the head of a model, the same way for every contender."""

    def __init__(self, model: Any) -> None:
        self.head_rows = 0
        self._begun: list[_Begun] = []
        self._caches = 0
        self._cache: weakref.ref[Any] | None = None
        model.base_model.register_forward_pre_hook(self._trunk, with_kwargs=True)
        model.get_output_embeddings().register_forward_pre_hook(self._head)

    def _trunk(self, _: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        ids = named["input_ids"] if "input_ids" in named else arguments[0]
        cache = named.get("past_key_values")
        if cache is None or self._cache is None or self._cache() is not cache:
            self._caches += 1
            self._cache = None if cache is None else weakref.ref(cache)
        rows, width = (int(size) for size in ids.shape)
        self._begun.append(_Begun(time.perf_counter(), rows, width, named.get("position_ids"), self._caches))

    def _head(self, _: Any, arguments: tuple[Any, ...]) -> None:
        self.head_rows += int(arguments[0].numel() // arguments[0].shape[-1])

    def take(self) -> dict[str, Any]:
        """Everything since the last time: sums, and `passes` as records."""
        ended = time.perf_counter()
        begun, self._begun = self._begun, []
        found = {
            "tokens": sum(one.rows * one.width for one in begun),
            "head_rows": self.head_rows,
            "forwards": len(begun),
            "passes": _records(begun, ended),
        }
        self.head_rows = 0
        return found


def _records(begun: Sequence[_Begun], ended: float) -> list[Record]:
    """A pass reads prompts where it begins no further on than the first pass of its cache."""
    starts: dict[int, int] = {}
    found: list[Record] = []
    for number, one in enumerate(begun):
        tokens = real = seen = one.rows * one.width
        start = 0
        if one.positions is not None and one.positions.shape[0] == one.rows:
            places = one.positions.cpu()
            start = int(places[:, 0].min())
            seen = int((places.amax(1) + 1).sum())
            # Padding stands at position 0, and so does the first token of a row without anything before it.
            real = int((places > 0).sum()) + (one.rows if start == 0 else 0)
        reading = start <= starts.setdefault(one.cache, start)
        until = begun[number + 1].at if number + 1 < len(begun) else ended
        found.append((tokens, real, seen, int(reading), until - one.at))
    return found
