"""Commands that touch containers: inspect an image, sweep up after a crash, say what a backend lacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from evaluator.cli.organiser.errors import PLATFORM_FAILED, clear_errors
from evaluator.contract import (
    BACKEND_NAMES,
    PLATFORM_FAILURES,
    REMEDIES,
    EvaluationFailed,
    ManifestError,
    manifest_load,
)
from evaluator.home import Home
from evaluator.sandbox import BACKENDS, sandbox_for

BACKEND_HELP = f"one of {', '.join(BACKEND_NAMES)}"


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
