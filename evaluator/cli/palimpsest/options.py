"""What every command that talks to a site shares: where it is, who asks, and how a refusal is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from evaluator.cli.palimpsest import screen
from evaluator.cli.palimpsest.site import SiteRefused

EXIT_REFUSED = 1

UrlOption = Annotated[str | None, typer.Option("--url", help="Address of the site; else PALIMPSEST_URL or `login`.")]
TokenOption = Annotated[str | None, typer.Option("--token", help="API token; else PALIMPSEST_TOKEN or `login`.")]


@contextmanager
def refusals() -> Iterator[None]:
    """A refusal of the site is printed problem by problem; exit status 1."""
    try:
        yield
    except SiteRefused as error:
        screen.problems_print(error.problems)
        raise typer.Exit(EXIT_REFUSED) from None
    except KeyboardInterrupt:
        sys.exit(130)
