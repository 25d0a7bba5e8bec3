"""The organiser's command line: every command is there, and none loads more than it needs."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from evaluator.cli.organiser import COMMANDS, _app


def names(app: typer.Typer) -> list[str | None]:
    return [command.name for command in app.registered_commands]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["snope"]])
def test_without_a_known_command_all_are_there(arguments: list[str]) -> None:
    assert names(_app(arguments)) == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_comes_alone(command: str) -> None:
    assert names(_app([command, "--help"])) == [command]


@pytest.mark.parametrize("command", ["sweep", "doctor", "inspect", "bridge"])
def test_what_the_site_calls_often_starts_without_the_libraries_of_numbers(command: str) -> None:
    program = (
        f"import sys; from evaluator.cli.organiser import _app; _app(['{command}']);"
        "print(*{'torch', 'scipy', 'sklearn'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []
