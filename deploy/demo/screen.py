"""What the person at the terminal sees: a live table on a terminal, one plain line per change elsewhere."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

SHOWN = (("overall", "overall"), ("forgetting", "forgetting"), ("har", "refusal"), ("locality", "locality"))
FINAL = {"SCORED", "FAILED_METHOD", "FAILED_PLATFORM", "TIMED_OUT", "CANCELLED", "REFUSED"}
_STYLE = {"SCORED": "green", "REFUSED": "red", "FAILED_METHOD": "red", "FAILED_PLATFORM": "red", "TIMED_OUT": "red"}


@dataclass
class Row:
    """One entry on its way."""

    name: str
    state: str = "SUBMITTED"
    stage: str = ""
    note: str = ""
    scores: dict[str, float | None] = field(default_factory=dict)
    began: float | None = None
    ended: float | None = None

    @property
    def final(self) -> bool:
        return self.state in FINAL

    def take(self, run: dict[str, Any], now: float) -> bool:
        """Takes over what the API says of the run; True when the state changed."""
        before = self.state
        self.state = run["state"]
        fraction = run.get("fraction")
        self.stage = f"{run['stage']} {fraction:.0%}" if fraction else run["stage"]
        self.note = run.get("failure_code") or ""
        self.scores = {score["key"]: score["value"] for score in run.get("scores", [])}
        # A run that had ended before it was first looked at took a time that is not ours to tell.
        if self.state not in {"QUEUED", "SUBMITTED"} and self.began is None and not self.final:
            self.began = now
        if self.final and self.began is not None and self.ended is None:
            self.ended = now
        return before != self.state

    def elapsed(self, now: float) -> str:
        if self.began is None:
            return ""
        seconds = int((self.ended or now) - self.began)
        return f"{seconds // 60}:{seconds % 60:02d}"


class Screen:
    """Writes to standard output; `live` is whether that is a terminal that can be redrawn."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        if not self._console.is_terminal:
            self._console.width = 120  # a log file is as wide as its lines
        self._live: Live | None = None
        self._started = time.monotonic()
        self._status = ""
        self._rows: list[Row] = []
        self.live = self._console.is_terminal and not self._console.is_dumb_terminal

    def say(self, text: str) -> None:
        """A line that stays."""
        stamp = time.strftime("%H:%M:%S")
        self._console.print(f"[dim]{stamp}[/dim] ", Text(text), sep="")

    def status(self, text: str) -> None:
        """What is going on just now; on a terminal it replaces the last one, elsewhere it is not shown."""
        self._status = text
        self._draw()

    def rows(self, rows: list[Row]) -> None:
        self._rows = rows
        self._draw()

    def rest(self) -> None:
        """Stops redrawing and leaves the last drawing where it is."""
        self._status = ""
        if self._live:
            self._live.update(self._picture(), refresh=True)
            self._live.stop()
            self._live = None
        elif self._rows and not self.live:
            self._console.print(self._picture())
        self._rows = []

    def _draw(self) -> None:
        if not self.live:
            return
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=False)
            self._live.start()
        self._live.update(self._picture(), refresh=True)

    def _picture(self) -> Group:
        parts: list[Any] = []
        if self._rows:
            now = time.monotonic()
            table = Table(box=None, pad_edge=False, header_style="bold")
            table.add_column("entry", no_wrap=True)
            table.add_column("state", no_wrap=True)
            table.add_column("stage", no_wrap=True)
            table.add_column("time", justify="right")
            for _, label in SHOWN:
                table.add_column(label, justify="right")
            for row in self._rows:
                numbers = [_number(row.scores.get(key)) for key, _ in SHOWN]
                state = Text(row.state.lower().replace("_", " "), style=_STYLE.get(row.state, ""))
                table.add_row(row.name, state, row.note or ("" if row.final else row.stage), row.elapsed(now), *numbers)
            parts.append(table)
        if self._status:
            parts.append(Text(self._status, style="dim", no_wrap=True, overflow="ellipsis"))
        return Group(*parts)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def fail(text: str) -> None:
    """The one line (or few) of a demo that cannot go on."""
    print(f"demo: {text}", file=sys.stderr, flush=True)
