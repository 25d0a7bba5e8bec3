"""What of a hidden release's Board JSON is shown, whichever evaluator published it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluator.contract.disclosure import number_shown, pair_shown


def payload_withheld(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A Board JSON with its scores, differences and pairs as coarse as they are published now."""
    groups = {column["key"]: column["group"] for column in payload.get("columns", ())}

    def row(found: Mapping[str, Any]) -> dict[str, Any]:
        scores = {
            key: {end: number_shown(number, group=groups.get(key, "")) for end, number in score.items()}
            for key, score in found.get("scores", {}).items()
        }
        differences = {name: _pair(pair) for name, pair in (found.get("differences") or {}).items()}
        return {**found, "scores": scores, "differences": differences}

    pairs = {name: _pair(found) for name, found in (payload.get("pairs") or {}).items()}
    return {**payload, "rows": [row(found) for found in payload["rows"]], "pairs": pairs}


def _pair(found: Any, key: str = "") -> Any:
    """Every number below a difference, by its name; `ids` and what is missing stay."""
    if isinstance(found, Mapping):
        return {name: _pair(value, name) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return [_pair(value, key) for value in found]
    return pair_shown(found, key=key) if isinstance(found, float) else found
