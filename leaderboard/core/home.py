"""The data folder of embedded mode: its secret key, its database options, its broker folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.management.utils import get_random_secret_key

KEY_FILE = "site-secret-key"


def secret_key_load(home: Path) -> str:
    """The site's secret key, made once with owner-only rights. Safe when web and worker start together."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / KEY_FILE
    if not path.exists():
        draft = home / f".{KEY_FILE}.{os.getpid()}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            handle.write(get_random_secret_key())
        try:
            os.link(draft, path)  # atomic, and the first one wins
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()


def sqlite_config(path: Path, *, busy_s: float = 20) -> dict[str, Any]:
    """SQLite for several processes: WAL, and writers that queue up, `busy_s` at most, instead of failing half-way."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": busy_s,
            "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;PRAGMA foreign_keys=ON;",
        },
    }


def broker_folders_make(root: Path) -> dict[str, Any]:
    """Transport options of the filesystem broker; makes its folders."""
    queue, control = root / "queue", root / "control"
    for folder in (queue, control):
        folder.mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(queue),
        "data_folder_out": str(queue),
        "control_folder": str(control),
        "store_processed": False,
        "polling_interval": 0.2,
    }
