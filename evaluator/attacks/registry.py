"""Every attack there is: each module of this package that defines one registers it by being here."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from pathlib import Path

from evaluator.attacks.base import Attack


@cache
def attacks() -> dict[str, Attack]:
    """Every attack by name, in the order of their names. Raises `ValueError` for two of one name."""
    package = __name__.rpartition(".")[0]
    found: dict[str, Attack] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        for kind in vars(importlib.import_module(f"{package}.{module.name}")).values():
            if not isinstance(kind, type) or not issubclass(kind, Attack):
                continue
            if not hasattr(kind, "name") or inspect.isabstract(kind):
                continue
            known = type(found.setdefault(kind.name, kind()))
            if known is not kind:
                raise ValueError(f"attack: {kind.name!r} is the name of {known.__name__} and of {kind.__name__}")
    return dict(sorted(found.items()))


def attack_get(name: str) -> Attack:
    """Raises `LookupError` that names the known attacks."""
    if name not in attacks():
        raise LookupError(f"attack: {name!r} is unknown; known: {', '.join(attacks())}")
    return attacks()[name]
