"""`palimpsest new` writes a method folder that passes its own test and `palimpsest try` unchanged."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evaluator.contract import manifest_load
from tests.evaluator.cli.palimpsest.command import palimpsest, scores_of

FILES = {"method.toml", "entrypoint.py", "Containerfile", "README.md", "test_method.py", "small_base.py"}


@pytest.fixture
def server_folder(tmp_path: Path) -> Path:
    done = palimpsest("new", "my-server", "--server", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path / "my-server"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    done = palimpsest("new", "my-method", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path / "my-method"


def test_the_folder_bears_its_own_name_everywhere(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == FILES
    assert manifest_load(folder / "method.toml").name == "My method"
    texts = [path.read_text() for path in folder.iterdir()]
    assert not any("IDK last layers" in text or "idk-last-layers" in text for text in texts)


def test_a_server_is_another_folder_under_its_own_name(server_folder: Path) -> None:
    assert {path.name for path in server_folder.iterdir()} == FILES | {"server.py"}
    manifest = manifest_load(server_folder / "method.toml")
    assert (manifest.name, manifest.division) == ("My server", "system")
    texts = [path.read_text() for path in server_folder.iterdir()]
    assert not any("Refuse by name" in text or "refuse-by-name" in text for text in texts)


def test_a_server_of_an_algorithm_that_changes_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rome.yaml").write_text("alg_name: ROME\n")
    done = palimpsest("new", "mine", "--server", "--easyedit", "rome.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert "give one of the two" in done.stderr
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("name", "problem"),
    [("My Method", "is no name for a method"), ("taken", "exists and is not empty"), ("file", "exists and is not")],
)
def test_a_folder_that_cannot_be_made_is_refused_and_nothing_is_written(
    tmp_path: Path, name: str, problem: str
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("precious")
    (tmp_path / "file").write_text("precious")
    before = sorted(tmp_path.rglob("*"))
    done = palimpsest("new", name, cwd=tmp_path)
    assert done.returncode == 1
    assert problem in done.stderr.replace("\n", " ")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.torch
@pytest.mark.slow
def test_its_own_test_passes(folder: Path) -> None:
    own_test_passes(folder)


@pytest.mark.torch
@pytest.mark.slow
def test_the_own_test_of_a_server_passes(server_folder: Path) -> None:
    own_test_passes(server_folder)


def own_test_passes(folder: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(folder),
        "test_method.py",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "DJANGO"))}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.torch
@pytest.mark.slow
def test_it_forgets_when_it_is_tried_as_a_process(folder: Path, toy_home: Path) -> None:
    release = ("--release", "toy-world-5-public")
    scores = scores_of(palimpsest("try", str(folder), *release, "--backend", "process", "--json", home=toy_home))
    assert scores["forgetting"] >= 0.6
    assert scores["har_raw"] > 0


@pytest.mark.torch
def test_a_server_is_conformant_and_refuses_when_it_is_tried_as_a_process(server_folder: Path, toy_home: Path) -> None:
    release = ("--release", "toy-world-5-public")
    scores = scores_of(palimpsest("try", str(server_folder), *release, "--backend", "process", "--json", home=toy_home))
    assert scores["forgetting"] == 1.0
    assert scores["neighbour_locality"] >= 0.8


@pytest.mark.container
def test_it_forgets_when_it_is_tried_in_a_container_of_its_own_image(folder: Path, toy_home: Path) -> None:
    done = palimpsest("try", str(folder), "--release", "toy-world-5-public", "--json", home=toy_home)
    assert scores_of(done)["forgetting"] >= 0.6


@pytest.mark.container
def test_a_containerfile_that_does_not_build_says_why(folder: Path, toy_home: Path) -> None:
    (folder / "Containerfile").write_text("FROM scratch\nCOPY missing.py /\n")
    done = palimpsest("try", str(folder), "--release", "toy-world-5-public", home=toy_home)
    assert done.returncode == 2
    assert "missing.py" in done.stderr
    assert "Traceback" not in done.stderr
