"""The site and the evaluator look for their data in the same folder, wherever they are started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evaluator.contract import data_folder

REPOSITORY = Path(__file__).parents[3]


def test_the_variable_decides_and_an_empty_one_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder({"PALIMPSEST_HOME": str(tmp_path / "a")}) == tmp_path / "a"
    assert data_folder({"PALIMPSEST_HOME": "~/data"}) == tmp_path / "data"
    assert data_folder({"PALIMPSEST_HOME": ""}) == REPOSITORY / "var"


def test_an_installed_package_uses_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert data_folder({}, root=tmp_path / "site-packages") == tmp_path / "var"


@pytest.mark.parametrize("given", [None, "data"])
def test_both_worlds_agree_from_any_folder(tmp_path: Path, given: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PALIMPSEST_HOME"}
    environment |= {"PYTHONPATH": str(REPOSITORY), "DJANGO_SETTINGS_MODULE": "leaderboard.config.settings.base"}
    if given:
        environment["PALIMPSEST_HOME"] = given
    program = (
        "from django.conf import settings; from evaluator.home import Home;"
        "print(settings.PALIMPSEST_HOME); print(Home.from_environment().root)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) == {str(tmp_path / given if given else REPOSITORY / "var")}
