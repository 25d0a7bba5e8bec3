"""The evaluator's command line: the module of the command that is asked for is loaded, and no other.

The site starts a process for each command; most need neither numpy nor scipy.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import typer

#: Each command and its module; the function has the command's name. In the order of the help.
COMMANDS = {
    "base": "prepare",
    "build": "prepare",
    "known": "prepare",
    "bake": "prepare",
    "image": "prepare",
    "run": "run",
    "inspect": "containers",
    "sweep": "containers",
    "doctor": "containers",
    "server-check": "servers",
    "bridge": "servers",
    "score": "results",
    "rank": "results",
    "verify": "results",
    "open-run": "reissue",
    "withhold": "reissue",
    "open-board": "opened",
    "opened": "opened",
    "reopen": "opened",
    "judge": "judge",
    "refusal": "refusal",
    "refusal-report": "refusal",
    "refusal-train": "refusal",
    "utility": "utility",
    "bench": "bench",
    "reidentify": "reidentify",
}


def _app(arguments: Sequence[str] = ()) -> typer.Typer:
    """With the command that `arguments` begin with, or with all of them when that is none."""
    app = typer.Typer(
        help="Build releases, run methods on them, score, rank, verify. Data lie in $PALIMPSEST_HOME, or in var/.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(lambda: None)  # without one, an app of a single command takes no name of a command
    for name in [word for word in arguments[:1] if word in COMMANDS] or COMMANDS:
        module = importlib.import_module(f"{__name__}.{COMMANDS[name]}")
        app.command(name)(getattr(module, name.replace("-", "_")))
    return app


def main() -> None:
    _app(sys.argv[1:])()
