"""A stored manifest written down as `method.toml` again, so that anybody can repeat a submission."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def manifest_toml(manifest: Mapping[str, Any]) -> str:
    """TOML that reads back as `manifest`; empty values and nulls, which TOML does not have, are left out."""
    tables = {"run", "hparams"}
    lines = [f"{_key(name)} = {_value(value)}" for name, value in manifest.items() if name not in tables and value]
    for table in ("run", "hparams"):
        entries = {name: value for name, value in (manifest.get(table) or {}).items() if value is not None}
        if entries:
            lines += ["", f"[{table}]", *(f"{_key(name)} = {_value(value)}" for name, value in entries.items())]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if name and set(name) <= _BARE else _text(name)


def _text(text: str) -> str:
    """JSON's escapes are TOML's, but for DEL, which JSON leaves as it is, and surrogate pairs, which TOML refuses."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        items = (f"{_key(name)} = {_value(item)}" for name, item in value.items() if item is not None)
        return "{ " + ", ".join(items) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(item) for item in value if item is not None) + "]"
    if isinstance(value, str):
        return _text(value)
    return repr(value)
