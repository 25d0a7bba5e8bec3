"""Runs the `palimpsest` command as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]


def palimpsest(*arguments: str, home: Path | None = None, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The command with these arguments in `cwd`, its data under `home`."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    if home is not None:
        environment["PALIMPSEST_HOME"] = str(home)
    command = [sys.executable, "-m", "evaluator.cli.palimpsest", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=400)


def scores_of(done: subprocess.CompletedProcess[str]) -> dict[str, float]:
    """The scores that `try --json` printed."""
    assert done.returncode == 0, done.stderr
    return {score["key"]: score["value"] for score in json.loads(done.stdout)["scores"]}
