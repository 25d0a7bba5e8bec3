"""The base's own values for releases that were built before probes held them (evaluator 0.4 and earlier)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluator.benchmark.build import base_under_test
from evaluator.contract.values import COMPARED
from evaluator.model.engine.primitives import PrimitiveStore
from evaluator.probes import PLAIN


def base_values_add(
    rows: Sequence[dict[str, Any]], probes: Path, base: Path, store: PrimitiveStore
) -> list[dict[str, Any]]:
    """The rows with what the base makes of each plain probe, where the release has kept none: what it answered lies in
    the release's store, so little is asked.
    """
    twins = [f"base_{name}" for name in COMPARED]
    if any(row[name] is not None for row in rows for name in twins):
        return list(rows)
    from evaluator.tasks.measure import measure  # noqa: PLC0415 - loads torch

    answered = measure(base_under_test(base, store), probes)
    own = {row["item_id"]: row for row in answered if row["condition"] == PLAIN}
    return [
        row | {f"base_{name}": own[row["item_id"]][name] for name in COMPARED} if row["item_id"] in own else row
        for row in rows
    ]
