"""The example of the contract page is tried as it is printed: copied out, run, scored on the toy world."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
_BLOCK = re.compile(r"^`([\w.]+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def example_files() -> dict[str, str]:
    """Name and content of every file that the contract prints in full."""
    return dict(_BLOCK.findall((ROOT / "docs" / "contract.md").read_text()))


def test_the_contract_prints_three_whole_files() -> None:
    assert set(example_files()) == {"method.toml", "entrypoint.py", "Containerfile"}
    assert "COPY entrypoint.py" in example_files()["Containerfile"]


@pytest.mark.torch
def test_the_example_forgets_when_it_is_tried(toy_home: Path, tmp_path: Path) -> None:
    for name, content in example_files().items():
        (tmp_path / name).write_text(content)
    command = [sys.executable, "-m", "evaluator.client", "try", str(tmp_path), "--release", "toy-world-5-public"]
    environment = os.environ | {"PALIMPSEST_HOME": str(toy_home), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*command, "--backend", "process", "--json"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    scores = {score["key"]: score["value"] for score in json.loads(done.stdout)["scores"]}
    assert scores["forgetting"] >= 0.6
    assert scores["har_raw"] > 0
