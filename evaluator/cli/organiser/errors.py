"""One way to end a command: a clear line on stderr and an exit status."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

#: Exit statuses of `run`: a method's failure, and a failure of the platform.
METHOD_FAILED = 3
PLATFORM_FAILED = 4


@contextmanager
def clear_errors(status: int = 2) -> Iterator[None]:
    """Turn expected errors into one line on stderr."""
    try:
        yield
    except (LookupError, ValueError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(status) from None
