"""What the `palimpsest` command prints: problems, submissions, runs, boards."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from evaluator.plain import plain_text

out = Console()
err = Console(stderr=True)

_COLOUR = {"SCORED": "green", "ACCEPTED": "green", "REFUSED": "red", "CANCELLED": "yellow", "WITHDRAWN": "yellow"}


def safe(value: object) -> str:
    """What a site sent, fit for the terminal: neither markup nor control characters."""
    return escape(plain_text(str(value)))


def log_print(text: str) -> None:
    """A log as it is, without anything that the terminal would obey."""
    out.print(plain_text(text), end="", markup=False, highlight=False, emoji=False, soft_wrap=True)


def colour_of(state: str) -> str:
    return "red" if state.startswith("FAILED") or state == "TIMED_OUT" else _COLOUR.get(state, "cyan")


def problems_print(problems: list[dict[str, str]]) -> None:
    """One block a problem: field, value, what is wrong, what to do."""
    for item in problems:
        value = f" = {item.get('value')}" if item.get("value") else ""
        err.print(f"[bold red]{safe(item['field'])}[/]{safe(value)}: {safe(item['problem'])}", highlight=False)
        err.print(f"  → {safe(item['remedy'])}", highlight=False)


def submission_print(submission: dict[str, Any]) -> None:
    state = submission["state"]
    out.print(
        f"submission [bold]{submission['id']}[/] {safe(submission['method'])} {safe(submission['version'])}: "
        f"[{colour_of(state)}]{state}[/]  {submission['url']}",
        highlight=False,
        soft_wrap=True,
    )
    problems_print(submission["problems"])
    for run in submission["runs"]:
        run_line_print(run)


def run_line_print(run: dict[str, Any]) -> None:
    """One line a run, with why it waits or failed."""
    state = run["state"]
    why = run["failure_code"] or run["reason"]
    if state == "QUEUED" and run.get("waits_for"):
        why = f"waits for the try-out {run['waits_for']}"
    out.print(
        f"  run [bold]{run['id']}[/] {run['release']} seed {run['seed']}: [{colour_of(state)}]{state}[/] {safe(why)}",
        highlight=False,
        soft_wrap=True,
    )


def run_print(run: dict[str, Any]) -> None:
    """One run with its scores, or why it failed and what to do."""
    run_line_print(run)
    if run.get("queue_position"):
        start = f", expected to start {run['expected_start']}" if run.get("expected_start") else ""
        out.print(f"  place in the queue: {run['queue_position']}{start}", highlight=False)
    if not run["is_final"] and run["stage"]:
        fraction = "" if run["fraction"] is None else f" {run['fraction']:.0%}"
        out.print(f"  {safe(run['stage'])}{fraction} {safe(run['message'])}", highlight=False)
    if run["remedy"]:
        out.print(f"  → {safe(run['remedy'])}", highlight=False)
    if run["detail"]:
        out.print(safe(run["detail"]), highlight=False)
    if run["scores"]:
        table = Table(box=None, pad_edge=False)
        for name in ("metric", "value", "95 % interval", "items"):
            table.add_column(name, justify="left" if name == "metric" else "right")
        for score in run["scores"]:
            arrow = "↑" if score["direction"] == "up" else "↓"
            interval = "" if score["low"] is None else f"{score['low']:.3f} – {score['high']:.3f}"
            style = "bold" if score["headline"] else ""
            table.add_row(
                f"{safe(score['label'])} {arrow}", number(score["value"]), interval, str(score["n_items"]), style=style
            )
        out.print(table)


def board_print(board: dict[str, Any]) -> None:
    """A board as a table: rank with its interval, and the headline columns."""
    columns = [column for column in board["columns"] if column.get("headline")] or board["columns"][:6]
    table = Table(
        title=f"{safe(board['board'])} (evaluator {safe(board['evaluator'])}, {safe(board['generated_at'])})",
        title_justify="left",
    )
    table.add_column("#", justify="right")
    table.add_column("method")
    table.add_column("division")
    for column in columns:
        table.add_column(f"{safe(column['label'])} {'↑' if column['direction'] == 'up' else '↓'}", justify="right")
    for row in board["rows"]:
        spread = "" if row["rank_low"] in {None, row["rank_high"]} else f" ({row['rank_low']}–{row['rank_high']})"
        cells = [number((row["scores"].get(column["key"]) or {}).get("value")) for column in columns]
        rank = "–" if row["rank"] is None else f"{row['rank']}{spread}"
        table.add_row(rank, f"{safe(row['method'])} {safe(row['version'])}", row["division"], *cells)
    out.print(table)


def number(value: float | None) -> str:
    """Three decimals; a missing value is "not run", never zero."""
    return "not run" if value is None else f"{value:.3f}"
