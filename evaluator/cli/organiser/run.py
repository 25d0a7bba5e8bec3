"""The command that does one run; it ends when whoever started it does."""

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
    PLATFORM_FAILURES,
    EvaluationFailed,
    Job,
)
from evaluator.home import Home
from evaluator.pipeline.run import run as do_run

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
