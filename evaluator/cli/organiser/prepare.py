"""Commands that prepare: the base model, a release, the reference image."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from evaluator.benchmark.bases import base_prepare
from evaluator.benchmark.build import known_table_build, release_build
from evaluator.cli.organiser.errors import clear_errors
from evaluator.contract import EvaluationFailed
from evaluator.contract.folder import ROOT
from evaluator.home import Home
from evaluator.sandbox import engine_for
from evaluator.sandbox.images.reference_image import reference_image_build


@contextmanager
def _bar(title: str) -> Iterator[Callable[[str, float], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda message, fraction: bar.update(task, description=message, completed=fraction)


def base(
    name: Annotated[str, typer.Option(help="a known base, or any name together with --path")] = "smollm2-135m-instruct",
    path: Annotated[str | None, typer.Option(help="a local model folder or a hub id")] = None,
) -> None:
    """Prepare a base model directory and print its name, hash, licence and source as JSON."""
    with clear_errors():
        found = base_prepare(Home.from_environment(), name, source=path, say=lambda text: typer.echo(text, err=True))
    typer.echo(
        json.dumps(
            {
                "name": found.name,
                "sha256": found.sha256,
                "path": str(found.path),
                "licence": found.licence,
                "source": found.source,
            }
        )
    )


def build(
    benchmark: Annotated[str, typer.Option(help="pretrained-facts or toy-world")] = "pretrained-facts",
    size: Annotated[int, typer.Option(help="number of forget requests")] = 10,
    split: Annotated[str, typer.Option(help="public or hidden")] = "public",
    round_: Annotated[
        int, typer.Option("--round", help="of a hidden release: 2 for the one that follows a retired first one")
    ] = 1,
    threads: Annotated[int, typer.Option(help="threads of the base model")] = 2,
) -> None:
    """Build a benchmark release (or find it built) and print its public card as JSON."""
    if split not in ("public", "hidden"):
        raise typer.BadParameter(f"split: {split!r} is neither public nor hidden")
    with clear_errors(), _bar(f"{benchmark} {size} {split}") as say:
        card = release_build(
            Home.from_environment(),
            benchmark,
            size=size,
            split="hidden" if split == "hidden" else "public",
            round_=round_,
            threads=threads,
            say=say,
        )
    typer.echo(card.model_dump_json())


def known(
    benchmark: Annotated[str, typer.Option(help="pretrained-facts or toy-world")] = "pretrained-facts",
    threads: Annotated[int, typer.Option(help="threads of the base model")] = 2,
) -> None:
    """Ask a benchmark's base for every candidate fact and keep the verdicts, so that releases build fast."""
    with clear_errors(), _bar(f"{benchmark}: what the base knows") as say:
        path = known_table_build(Home.from_environment(), benchmark, threads=threads, say=say)
    typer.echo(str(path))


def bake(
    method: Annotated[list[str] | None, typer.Option(help="lte or recipe; may be repeated [default: both]")] = None,
    benchmark: Annotated[str, typer.Option(help="whose base and whose public facts")] = "pretrained-facts",
    full: Annotated[bool, typer.Option(help="the papers' own recipes: hours on a GPU, days without")] = False,
    again: Annotated[bool, typer.Option(help="also what is there already")] = False,
    threads: Annotated[int, typer.Option(help="threads of the training")] = 2,
    methods: Annotated[Path, typer.Option(help="the folder of the methods package")] = ROOT / "methods",
) -> None:
    """Train the reference entries that train apart from the requests; `image` then ships it. Print the files."""
    from evaluator.pipeline import baking  # noqa: PLC0415 - loads torch

    with clear_errors(), _bar("training apart from the requests") as say:
        paths = baking.bake(
            Home.from_environment(),
            methods,
            method or baking.METHODS,
            benchmark=benchmark,
            full=full,
            again=again,
            threads=threads,
            say=say,
        )
    for path in paths:
        typer.echo(str(path))


def image(
    methods: Annotated[Path, typer.Option(help="the folder of the methods package")] = ROOT / "methods",
    backend: Annotated[
        str, typer.Option(help="whose store it is loaded into: podman, podman-runsc or docker")
    ] = "podman",
) -> None:
    """Build and load the reference image without a registry; print its image ID."""
    with clear_errors():
        try:
            found = reference_image_build(
                Home.from_environment().root,
                methods,
                progress=lambda text: typer.echo(text, err=True),
                engine=engine_for(backend, Home.from_environment().root),
            )
        except EvaluationFailed as failure:
            raise ValueError(str(failure)) from None
    typer.echo(found)
