"""One list of backends, each of which says what it lacks, and a command that asks them all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.demo.plan import BACKENDS as DEMO_BACKENDS
from evaluator.cli.organiser import _app
from evaluator.contract import BACKEND_NAMES
from evaluator.sandbox import BACKENDS, DockerSandbox, PodmanSandbox, RunscSandbox, engine_for, sandbox_for


def test_the_contract_and_the_sandbox_know_the_same_backends() -> None:
    assert set(BACKENDS) == set(BACKEND_NAMES) >= set(DEMO_BACKENDS)


@pytest.mark.parametrize("name", BACKEND_NAMES)
def test_a_backend_bears_the_name_that_it_is_asked_for_by(name: str, tmp_path: Path) -> None:
    assert sandbox_for(name, tmp_path).name == name


def test_an_unknown_backend_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'lxc' is not known: use one of docker, kubernetes, podman"):
        sandbox_for("lxc", tmp_path)


def test_only_backends_with_images_here_have_an_engine(tmp_path: Path) -> None:
    assert engine_for("docker", tmp_path).program == "docker"
    with pytest.raises(ValueError, match="kubernetes has no images on this machine: use one of podman, podman-runsc"):
        engine_for("kubernetes", tmp_path)


def test_what_is_not_installed_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    wanted = {PodmanSandbox: "podman runc", RunscSandbox: "podman runsc", DockerSandbox: "docker.io"}
    for kind, packages in wanted.items():
        assert any(line.endswith(packages) for line in kind(tmp_path).check()), kind.name


def test_docker_on_another_machine_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docker").symlink_to("/usr/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere.example:2375")
    (problem,) = DockerSandbox(tmp_path).check()
    assert "is another machine" in problem


def test_no_variable_of_ours_and_no_setting_of_the_callers_reaches_docker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its settings can hold proxies, which docker hands to every container."""
    monkeypatch.setenv("DJANGO_SECRET_KEY", "secret")
    monkeypatch.setenv("DOCKER_CONFIG", "/somewhere")
    environment = DockerSandbox(tmp_path).engine.environment()
    assert "secret" not in environment.values()
    assert environment["DOCKER_CONFIG"] == str(tmp_path / "sandbox" / "docker")


def test_the_doctor_asks_every_backend_and_is_content_with_one_that_isolates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PALIMPSEST_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = CliRunner().invoke(_app(), ["doctor"])
    assert answer.exit_code == 1, "process alone is not enough"
    assert "podman: not ready" in answer.stdout
    assert "process: ready (WITHOUT ANY ISOLATION" in answer.stdout
    found = CliRunner().invoke(_app(), ["doctor", "--backend", "process", "--json"])
    assert (found.exit_code, json.loads(found.stdout)) == (0, {"process": []})
    assert CliRunner().invoke(_app(), ["doctor", "--backend", "docker"]).exit_code == 1
    assert CliRunner().invoke(_app(), ["doctor", "--backend", "lxc"]).exit_code == 2
