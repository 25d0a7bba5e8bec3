"""Commands that change what a scored run shows: opened with its release, or withheld as the rules are now."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evaluator.cli.organiser.errors import clear_errors
from evaluator.home import Home
from evaluator.pipeline.reissue import run_open, run_withhold

ScorecardOption = Annotated[Path, typer.Option(help="the run's scorecard.json")]
ReceiptOption = Annotated[Path, typer.Option(help="the run's receipt.json; one is issued anew")]
OutOption = Annotated[Path, typer.Option(help="the folder that the new files go to")]


def open_run(
    sealed: Annotated[Path, typer.Argument(help="the run's trace.sealed")],
    scorecard: ScorecardOption,
    receipt: ReceiptOption,
    out: OutOption,
) -> None:
    """Open the sealed trace of a hidden run: every prompt and answer, in trace.parquet."""
    with clear_errors():
        run_open(Home.from_environment(), sealed=sealed, scorecard=scorecard, receipt=receipt, out_dir=out)


def withhold(
    trace: Annotated[Path, typer.Argument(help="the run's trace, complete or as it was shown")],
    scorecard: ScorecardOption,
    receipt: ReceiptOption,
    out: OutOption,
) -> None:
    """Seal the trace of a hidden run that an older evaluator scored, and show of it what is shown now."""
    with clear_errors():
        run_withhold(Home.from_environment(), trace=trace, scorecard=scorecard, receipt=receipt, out_dir=out)
