"""The command that tries to name the facts of hidden releases by what is published of them."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from evaluator.cli.organiser.errors import clear_errors
from evaluator.home import Home
from evaluator.reidentify.trial import ENTRIES, Trial
from evaluator.reidentify.verdict import ALPHA


def reidentify(
    benchmark: Annotated[str, typer.Option(help="pretrained-facts or toy-world")] = "pretrained-facts",
    size: Annotated[int, typer.Option(help="number of forget requests of each release")] = 10,
    releases: Annotated[int, typer.Option(min=1, help="releases to draw, each with a secret of its own")] = 3,
    entry: Annotated[list[str] | None, typer.Option(help="a reference entry to run (repeat); default: twelve")] = None,
    threads: Annotated[int, typer.Option(help="threads of the base model")] = 2,
) -> None:
    """Draw hidden releases, run reference entries on them, and let attackers who have what is published, the base and
    this repository name the facts to forget. Exit status 1 when one is better than chance (p < 0.01). Everything lies
    in $PALIMPSEST_HOME/reidentify, which belongs to nobody else: a trial goes on where it was stopped.
    """
    home = Home.from_environment()
    folder = home.root / "reidentify" / f"{benchmark}-{size}"
    entries = tuple(entry or ENTRIES)

    def say(message: str) -> None:
        typer.echo(message, err=True)

    trial = Trial(home, folder, benchmark, size, releases, entries, threads, say)
    with clear_errors():
        verdicts = trial.run()
    table = Table(title=f"{releases} hidden releases of {benchmark}, {size} facts each, {len(trial.entries)} entries")
    for head in ("attacker", "guesses", "hits", "by chance", "p"):
        table.add_column(head, justify="left" if head == "attacker" else "right")
    for found in verdicts:
        table.add_row(found.attacker, str(found.guesses), str(found.hits), f"{found.chance:.2f}", f"{found.p:.4f}")
    Console().print(table)
    if broken := [found.attacker for found in verdicts if found.succeeded]:
        typer.echo(f"better than chance (p < {ALPHA}): {', '.join(broken)}", err=True)
        raise typer.Exit(1)
