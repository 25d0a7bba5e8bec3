"""What a table needs before a spreadsheet opens it."""

from __future__ import annotations

from typing import Any


def formula_neutralise(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula, made plain by a leading apostrophe; anything else as it is."""
    if isinstance(value, str) and value.lstrip(" ")[:1] in {"=", "+", "-", "@", "\t", "\r", "\n"}:
        return "'" + value
    return value
