"""What of a board a reader asked to see: filters, order and columns, all of them in the address and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from pydantic import Field

from evaluator.contract import BoardRow, BoardScore, MetricGroup, MetricInfo
from leaderboard.boards.differences import Difference, difference_stored


class Column(MetricInfo):
    """One metric of a board, with the words that a page has for it."""

    @property
    def arrow(self) -> str:
        return "↑" if self.direction == "up" else "↓"

    @property
    def direction_words(self) -> str:
        return "higher is better" if self.direction == "up" else "lower is better"

    @property
    def group_label(self) -> str:
        return self.group.label


class Entry(BoardRow):
    """One row of a board, as a page reads it; `names` are those of all rows, by submission."""

    names: Mapping[str, str] = Field(default_factory=dict, exclude=True)

    @property
    def is_control(self) -> bool:
        return self.kind == "control"

    @property
    def section(self) -> int:
        """Where it stands in the order of ranks, as a place in `SECTIONS`: divisions are ranked apart, controls not."""
        return 2 if self.is_control else 0 if self.division == "weights" else 1

    @property
    def rank_interval(self) -> str:
        """`1–2`, or nothing where the rank is certain or there is none."""
        if self.rank_low is None or self.rank_high is None or self.rank_low == self.rank_high:
            return ""
        return f"{self.rank_low}–{self.rank_high}"

    @property
    def gaps(self) -> tuple[tuple[str, Difference], ...]:
        """(the other's name, difference in the overall score) to the untouched base and to the next entry."""
        stored = {item.id: item for item in (self.differences.base, self.differences.next) if item}
        read = [(self.names.get(ident, ""), difference_stored(item)) for ident, item in stored.items()]
        return tuple((name, difference) for name, difference in read if name and difference)

    def score(self, key: str) -> BoardScore:
        return self.scores.get(key, _NO_SCORE)


_NO_SCORE = BoardScore()
#: What a board shows one below the other when it stands in the order of ranks.
SECTIONS = (
    ("Weights", "the evaluator generates from the tensors that a method left"),
    ("Systems", "a method's own server answers"),
    ("Controls", "fixed points to read the others by; they have no rank"),
)


def columns_read(payload: Mapping[str, Any]) -> tuple[Column, ...]:
    """The columns of a Board JSON, groups together in the order in which the board shows them."""
    order = list(MetricGroup)
    columns = (Column.model_validate(item) for item in payload["columns"])
    return tuple(sorted(columns, key=lambda column: order.index(column.group)))


def entries_read(payload: Mapping[str, Any]) -> tuple[Entry, ...]:
    """The rows of a Board JSON in its own order."""
    names = {row["submission"]: row["method"] for row in payload["rows"]}
    # Copied, not validated with the row: all rows share the one mapping.
    return tuple(Entry.model_validate(row).model_copy(update={"names": names}) for row in payload["rows"])


@dataclass(frozen=True)
class BoardQuery:
    """The state of a board page. `sort` is `rank`, `method` or a column's key; a leading `-` turns it round."""

    q: str = ""
    division: str = ""
    kind: str = ""
    controls: bool = True
    sort: str = "rank"
    columns: tuple[str, ...] = ()
    revision: int | None = None
    evaluator: str = ""

    @classmethod
    def parse(cls, params: Mapping[str, Any], *, columns: Iterable[Column]) -> BoardQuery:
        """From a QueryDict. What is not known is left out: an old link must still show a board."""
        keys = [column.key for column in columns]
        getlist = getattr(params, "getlist", lambda name: [params[name]] if name in params else [])
        sort = str(params.get("sort", "rank"))
        revision = str(params.get("revision", ""))
        asked = set(getlist("col"))
        return cls(
            q=str(params.get("q", "")).strip()[:100],
            division=str(params.get("division", ""))[:20],
            kind=str(params.get("kind", ""))[:20],
            controls=params.get("controls", "") != "off",
            sort=sort if sort.lstrip("-") in {"rank", "method", *keys} and not sort.startswith("--") else "rank",
            columns=tuple(key for key in keys if key in asked),
            revision=int(revision) if revision.isdecimal() and len(revision) < 9 else None,
            evaluator=str(params.get("evaluator", ""))[:40],
        )

    def params(self) -> list[tuple[str, str]]:
        """As URL parameters, defaults left out."""
        pairs = [
            ("q", self.q),
            ("division", self.division),
            ("kind", self.kind),
            ("controls", "" if self.controls else "off"),
            ("sort", "" if self.sort == "rank" else self.sort),
            *(("col", key) for key in self.columns),
            ("revision", "" if self.revision is None else str(self.revision)),
            ("evaluator", self.evaluator),
        ]
        return [(name, value) for name, value in pairs if value]

    @property
    def url(self) -> str:
        """The query string with its question mark; `?` alone when nothing differs from the default."""
        return "?" + urlencode(self.params())

    @property
    def is_filtered(self) -> bool:
        return bool(self.q or self.division or self.kind or not self.controls)

    def sorted_by(self, key: str) -> BoardQuery:
        """The state after a click on the head of `key`: best first, then worst first."""
        return replace(self, sort=f"-{key}" if self.sort == key else key)

    def shown(self, columns: Iterable[Column]) -> tuple[Column, ...]:
        """The columns to show: those picked, else the headline ones, else all."""
        columns = tuple(columns)
        if self.columns:
            return tuple(column for column in columns if column.key in self.columns)
        return tuple(column for column in columns if column.headline) or columns

    def select(self, entries: Iterable[Entry], columns: Iterable[Column]) -> list[Entry]:
        """The entries that pass the filters, in the asked order; what was not run comes last either way."""
        needle = self.q.casefold()
        kept = [
            entry
            for entry in entries
            if (not needle or needle in entry.method.casefold() or needle in entry.method_slug)
            and (not self.division or entry.division == self.division)
            and (not self.kind or entry.kind == self.kind)
            and (self.controls or not entry.is_control)
        ]
        key, backwards = self.sort.lstrip("-"), self.sort.startswith("-")
        if key == "method":
            return sorted(kept, key=lambda entry: (entry.method.casefold(), entry.submission), reverse=backwards)
        if key == "rank":
            ranked = sorted((e for e in kept if e.rank is not None), key=lambda e: e.rank or 0, reverse=backwards)
            return sorted(ranked + [entry for entry in kept if entry.rank is None], key=lambda e: e.section)
        direction = next(column.direction for column in columns if column.key == key)
        there = [entry for entry in kept if entry.score(key).value is not None]
        best_first = sorted(there, key=lambda e: e.score(key).value or 0.0, reverse=direction == "up")
        return (best_first[::-1] if backwards else best_first) + [e for e in kept if e.score(key).value is None]


def value_format(value: float, unit: str = "") -> str:
    """Three decimals for a rate; with a unit, about three figures."""
    if not unit:
        return f"{value:.3f}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


@dataclass(frozen=True)
class Cell:
    """One number of the table; `text` is empty for what was not run."""

    column: Column
    score: BoardScore
    text: str
    interval: str
    best: bool
    starts_group: bool


def interval_format(score: BoardScore, unit: str = "") -> str:
    """`0.81–0.92`, or nothing where there is no interval."""
    if score.low is None or score.high is None:
        return ""
    digits = 0 if unit and score.high >= 100 else 2
    return f"{score.low:.{digits}f}–{score.high:.{digits}f}"


@dataclass(frozen=True)
class Head:
    column: Column
    url: str
    aria_sort: str
    starts_group: bool


@dataclass(frozen=True)
class Row:
    entry: Entry
    cells: list[Cell]
    tied_names: str


@dataclass(frozen=True)
class Section:
    """Rows that stand together; no label where the order is not that of ranks."""

    label: str
    note: str
    rows: list[Row]


@dataclass(frozen=True)
class Table:
    """A board ready to be written down: heads, groups, and rows of cells in sections."""

    heads: list[Head]
    groups: list[tuple[str, int]]
    sections: list[Section]
    total: int

    def first(self, count: int) -> Table:
        """The first rows of each section."""
        return replace(self, sections=[replace(section, rows=section.rows[:count]) for section in self.sections])

    @property
    def rows(self) -> list[Row]:
        return [row for section in self.sections for row in section.rows]


def table_build(*, query: BoardQuery, columns: tuple[Column, ...], entries: tuple[Entry, ...]) -> Table:
    """The table that `query` asks for. The best value of a column is looked for among entries that are no controls."""
    shown = query.shown(columns)
    starts = {column.key for place, column in enumerate(shown) if place == 0 or column.group != shown[place - 1].group}
    best: dict[str, float] = {}
    for column in shown:
        values = [v for e in entries if not e.is_control and (v := e.score(column.key).value) is not None]
        if values:
            best[column.key] = max(values) if column.direction == "up" else min(values)
    heads = []
    for column in shown:
        now = ""
        if query.sort.lstrip("-") == column.key:
            falling = (column.direction == "up") != query.sort.startswith("-")
            now = "descending" if falling else "ascending"
        heads.append(
            Head(column=column, url=query.sorted_by(column.key).url, aria_sort=now, starts_group=column.key in starts)
        )
    names = {entry.submission: entry.method for entry in entries}
    rows = [
        Row(
            entry=entry,
            cells=[_cell(column, entry, best=best.get(column.key), starts=column.key in starts) for column in shown],
            tied_names=", ".join(names[ident] for ident in entry.tied_with if ident in names),
        )
        for entry in query.select(entries, columns)
    ]
    groups = [(label, len(list(items))) for label, items in groupby(shown, key=lambda column: column.group_label)]
    return Table(heads=heads, groups=groups, sections=_sections(query, rows), total=len(entries))


def _sections(query: BoardQuery, rows: list[Row]) -> list[Section]:
    if query.sort.lstrip("-") != "rank":
        return [Section("", "", rows)]
    parts = groupby(rows, key=lambda row: row.entry.section)
    return [Section(*SECTIONS[place], list(members)) for place, members in parts]


def _cell(column: Column, entry: Entry, *, best: float | None, starts: bool) -> Cell:
    score = entry.score(column.key)
    return Cell(
        column=column,
        score=score,
        text="" if score.value is None else value_format(score.value, column.unit),
        interval=interval_format(score, column.unit),
        best=not entry.is_control and score.value is not None and score.value == best,
        starts_group=starts,
    )
