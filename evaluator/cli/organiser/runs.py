"""Commands that touch containers: inspect an image, do a run, sweep up after a crash."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from evaluator.cli.organiser.errors import METHOD_FAILED, PLATFORM_FAILED, clear_errors
from evaluator.contract import (
    BACKEND_NAMES,
    PLATFORM_FAILURES,
    REMEDIES,
    EvaluationFailed,
    Job,
    ManifestError,
    manifest_load,
)
from evaluator.home import Home
from evaluator.pipeline.run import run as do_run
from evaluator.sandbox import BACKENDS, sandbox_for

BACKEND_HELP = f"one of {', '.join(BACKEND_NAMES)}"
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the process that started us dies, and turn SIGTERM into an orderly end."""

    def end(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(128 + number)

    parent = os.getppid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            raise SystemExit(128 + signal.SIGTERM)


def run(job: Annotated[Path, typer.Argument(help="a job file, see evaluator.contract.Job")]) -> None:
    """Do one run. Exit status: 0 scored, 3 the method failed, 4 the platform failed, 2 a bad job file."""
    with clear_errors():
        parsed = Job.model_validate_json(job.read_text())
    _die_with_parent()

    try:
        scorecard = do_run(parsed, Home.from_environment())
    except EvaluationFailed as failure:
        typer.echo(f"{failure.code.value}", err=True)
        raise typer.Exit(PLATFORM_FAILED if failure.code in PLATFORM_FAILURES else METHOD_FAILED) from None
    typer.echo(json.dumps({score.key: score.value for score in scorecard.scores}))


def inspect(
    image: Annotated[str, typer.Option(help="sha256:…, NAME@sha256:…, NAME:TAG or archive@sha256:…")],
    manifest: Annotated[Path, typer.Option(help="method.toml or its JSON form")],
    backend: Annotated[str, typer.Option(help=BACKEND_HELP)] = "podman",
) -> None:
    """Look at an image without running it; print a report as JSON. Exit status: 0 ok, 2 refused, 4 platform."""

    problems: list[dict[str, str]] = []
    report: dict[str, object] = {"ok": False, "image": "", "image_id": ""}
    report |= {"size_bytes": 0, "user": "", "architecture": ""}
    try:
        found = sandbox_for(backend, Home.from_environment().root).inspect(image, manifest_load(manifest))
        problems = [dict(problem) for problem in found.problems]
        report |= {
            "ok": found.ok,
            "image": found.image,
            "image_id": found.image_id,
            "size_bytes": found.size_bytes,
            "user": found.user,
            "architecture": found.architecture,
        }
    except ManifestError as error:
        problems = error.problems
    except EvaluationFailed as failure:
        if failure.code in PLATFORM_FAILURES:
            typer.echo(f"{failure.code.value}: {failure.detail}", err=True)
            raise typer.Exit(PLATFORM_FAILED) from None
        problems = [
            {
                "field": "image",
                "value": image,
                "problem": failure.detail or failure.code.value,
                "remedy": REMEDIES[failure.code],
            }
        ]
    typer.echo(json.dumps(report | {"problems": problems}))
    if problems:
        raise typer.Exit(2)


def sweep(
    run_id: Annotated[
        str | None, typer.Option("--run", help="only this run; without it, all that are past their deadline")
    ] = None,
    backend: Annotated[str, typer.Option(help=BACKEND_HELP)] = "podman",
) -> None:
    """Remove containers and mounts that a crash left behind; print how many."""

    with clear_errors(PLATFORM_FAILED):
        typer.echo(sandbox_for(backend, Home.from_environment().root).sweep(run_id))


def doctor(
    backend: Annotated[str | None, typer.Option(help=f"{BACKEND_HELP}; without it, all of them")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print what is missing by backend, as JSON")] = False,
) -> None:
    """Say what each backend lacks on this machine. Exit status: 0 when the one named, or any with isolation, is ready,
    else 1.
    """

    with clear_errors():
        found = {
            name: sandbox_for(name, Home.from_environment().root).check()
            for name in ([backend] if backend else BACKENDS)
        }
    if as_json:
        typer.echo(json.dumps(found))
    else:
        for name, missing in found.items():
            typer.echo(f"{name}: {'not ready' if missing else 'ready'}" + _UNSAFE.get(name, ""))
            for sentence in missing:
                typer.echo(f"  - {sentence}")
    isolated = [name for name in found if backend or name not in _UNSAFE]
    if all(found[name] for name in isolated):
        raise typer.Exit(1)


_UNSAFE = {"process": " (WITHOUT ANY ISOLATION: for methods of this repository and for tests)"}


def register(app: typer.Typer) -> None:
    for command in (run, inspect, sweep, doctor):
        app.command()(command)
