"""The contract page prints the files that `palimpsest new` writes."""

from __future__ import annotations

import re
from pathlib import Path

from evaluator.cli.palimpsest.new import SKELETON

ROOT = Path(__file__).parents[3]
_BLOCK = re.compile(r"^`([\w.]+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_contract_prints_the_three_files_of_a_submission_as_new_writes_them() -> None:
    printed = dict(_BLOCK.findall((ROOT / "docs" / "contract.md").read_text()))
    assert set(printed) == {"method.toml", "entrypoint.py", "Containerfile"}
    assert printed == {name: (SKELETON / name).read_text() for name in printed}
