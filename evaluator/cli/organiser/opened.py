"""Commands on opened boards: runs of a retired release as files, the table made of them, the release to go on with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evaluator.analysis.opened import (
    kinds_markdown,
    opened_add,
    opened_board,
    opened_digests,
    release_pack,
    release_unpack,
)
from evaluator.cli.organiser.errors import clear_errors
from evaluator.cli.palimpsest.cited import board_markdown
from evaluator.home import Home

FolderArgument = Annotated[Path, typer.Argument(help="the opened board's folder")]


def open_board(
    folder: FolderArgument,
    runs: Annotated[list[Path] | None, typer.Argument(help="run folders, with job.json and out/")] = None,
    release: Annotated[
        str | None,
        typer.Option(help="put this release in too. Retire it first: whoever has the folder knows its facts"),
    ] = None,
) -> None:
    """Put scored runs, and the release itself, into an opened board; print their names."""
    with clear_errors():
        for run in runs or ():
            typer.echo(opened_add(run, folder))
        if release is not None:
            typer.echo(str(release_pack(Home.from_environment(), release, folder)))


def opened(
    folder: FolderArgument,
    kinds: Annotated[
        list[str] | None, typer.Option(help="entries by name: what each kind of probe finds of them, instead of ranks")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the Board JSON, as a site serves it")] = False,
) -> None:
    """Rank the runs of an opened board; print the table as Markdown."""
    with clear_errors():
        board = opened_board(folder)
        if as_json:
            typer.echo(board.model_dump_json(indent=2))
        elif kinds:
            typer.echo(kinds_markdown(board, kinds))
        else:
            typer.echo(board_markdown(board.model_dump(mode="json"), opened_digests(folder)))


def reopen(folder: FolderArgument) -> None:
    """Put the release of an opened board into an empty data folder, to judge more entries on it."""
    with clear_errors():
        for name in release_unpack(folder, Home.from_environment()):
            typer.echo(name)
