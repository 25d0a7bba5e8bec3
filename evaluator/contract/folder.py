"""The data folder that both worlds share: one rule for where it lies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def data_folder(environment: Mapping[str, str] = os.environ, *, root: Path = ROOT) -> Path:
    """`PALIMPSEST_HOME`; without it `var/` of the checkout that this code stands in, wherever a command is started.

    An installed package has no checkout: there it is `var/` of the current folder. `root`: the folder that holds the
    package.
    """
    given = environment.get("PALIMPSEST_HOME")
    if given:
        return Path(given).expanduser().resolve()
    checkout = (root / "pyproject.toml").is_file() and (root / "manage.py").is_file()
    return (root if checkout else Path.cwd()).resolve() / "var"
