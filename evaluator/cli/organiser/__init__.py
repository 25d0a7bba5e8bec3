"""The evaluator's command line; one module a group of commands, heavy imports inside the commands."""

from __future__ import annotations

import typer

from evaluator.cli.organiser import bench, judge, prepare, refusal, results, runs, servers, utility


def _app() -> typer.Typer:
    app = typer.Typer(
        help="Build releases, run methods on them, score, rank, verify. Data lie in $PALIMPSEST_HOME, or in var/.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for module in (prepare, runs, servers, results, judge, refusal, utility, bench):
        module.register(app)
    return app


def main() -> None:
    _app()()
