"""The plots of a board as Plotly JSON; colours are named here and filled in by the page, in its theme."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

from evaluator.contract import BoardScore
from leaderboard.boards.table import Column, Entry

#: Kind -> (name of a colour in the style sheet, marker). Shape repeats what colour says.
_MARKS = {
    "editing": ("blue", "circle"),
    "unlearning": ("vermilion", "square"),
    "in-context": ("green", "diamond"),
    "retrieval": ("purple", "triangle-up"),
    "control": ("grey", "x-open"),
}
_NAMES_UP_TO = 60
_RANGE = (-0.06, 1.12)
#: Half the size of a mark, the width of a character and the height of a line, in units of the axes.
_MARK_W, _MARK_H, _CHARACTER_W, _LINE_H = 0.009, 0.022, 0.0088, 0.05
_PLACES = (
    "top center",
    "bottom center",
    "top right",
    "top left",
    "bottom right",
    "bottom left",
    "middle right",
    "middle left",
)


def pareto_front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other point beats on both axes (higher is better), by falling first coordinate."""
    front: list[tuple[float, float]] = []
    for x, y in sorted(set(points), reverse=True):
        if not front or y > front[-1][1]:
            front.append((x, y))
    return front


def forget_against_retain(entries: Iterable[Entry], *, x: Column, y: Column) -> dict[str, Any]:
    """A scatter of two metrics in [0, 1] with 95 % intervals; controls as open marks, the front among the others."""
    entries = [e for e in entries if e.score(x.key).value is not None and e.score(y.key).value is not None]
    figure = go.Figure()
    front = pareto_front(
        (e.score(x.key).value or 0.0, e.score(y.key).value or 0.0) for e in entries if not e.is_control
    )
    if len(front) > 1:
        figure.add_scatter(
            x=[point[0] for point in front],
            y=[point[1] for point in front],
            mode="lines",
            line={"dash": "dot", "width": 1.5, "shape": "vh"},
            name="Pareto front",
            hoverinfo="skip",
            meta={"colour": "grey"},
        )
    bars = [bar for e in entries for bar in _bar_boxes(e.score(x.key), e.score(y.key))]
    names = [(e.score(x.key).value or 0.0, e.score(y.key).value or 0.0, e.method) for e in entries]
    places = dict(zip([e.submission for e in entries], labels_place(names, bars), strict=True))
    for kind, (colour, symbol) in _MARKS.items():
        mine = [entry for entry in entries if entry.kind == kind]
        if not mine:
            continue
        figure.add_scatter(
            x=[entry.score(x.key).value for entry in mine],
            y=[entry.score(y.key).value for entry in mine],
            error_x=_bars([entry.score(x.key) for entry in mine]),
            error_y=_bars([entry.score(y.key) for entry in mine]),
            mode="markers+text",
            text=[entry.method if places[entry.submission] else "" for entry in mine],
            customdata=[entry.method for entry in mine],
            textposition=[places[entry.submission] or "top center" for entry in mine],
            marker={"symbol": symbol, "size": 11, "line": {"width": 1.5}},
            name=kind,
            hovertemplate=f"<b>%{{customdata}}</b><br>{x.label} %{{x:.3f}}<br>{y.label} %{{y:.3f}}<extra></extra>",
            meta={"colour": colour},
        )
    figure.update_layout(
        template=None,
        margin={"l": 64, "r": 24, "t": 24, "b": 88},
        autosize=True,
        hovermode="closest",
        legend={"orientation": "h", "y": -0.2},
        xaxis={"title": {"text": f"{x.label} {x.arrow}"}, "range": list(_RANGE), "dtick": 0.2, "zeroline": False},
        yaxis={"title": {"text": f"{y.label} {y.arrow}"}, "range": list(_RANGE), "dtick": 0.2, "zeroline": False},
    )
    return dict(figure.to_plotly_json())


def _bars(scores: list[Any]) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, (s.high if s.high is not None else s.value) - s.value) for s in scores],
        "arrayminus": [max(0.0, s.value - (s.low if s.low is not None else s.value)) for s in scores],
        "thickness": 1,
        "width": 3,
    }


def labels_place(points: Sequence[tuple[float, float, str]], bars: Sequence[_Box] = ()) -> list[str | None]:
    """A place for each point's name that covers neither a mark nor another name; None where there is none.

    Places that keep clear of the error `bars` too go first. Boxes are reckoned for a plot about 1,000 pixels wide, in
    units of the axes.
    """
    if len(points) > _NAMES_UP_TO:  # a crowd of names says nothing, and looking for places takes quadratic time
        return [None] * len(points)
    marks = [_Box(x - _MARK_W, y - _MARK_H, x + _MARK_W, y + _MARK_H) for x, y, _ in points]
    taken: list[_Box] = []
    places: list[str | None] = []
    for index, (x, y, name) in enumerate(points):
        others = [*marks[:index], *marks[index + 1 :]]
        boxes = {place: _box(x, y, _CHARACTER_W * len(name), place) for place in _PLACES}
        free = [
            place
            for place, box in boxes.items()
            if box.x0 > _RANGE[0] and box.x1 < _RANGE[1] and not any(box.meets(other) for other in [*taken, *others])
        ]
        clear = [place for place in free if not any(boxes[place].meets(bar) for bar in bars)]
        best = next(iter(clear or free), None)
        if best is not None:
            taken.append(boxes[best])
        places.append(best)
    return places


class _Box(NamedTuple):
    x0: float
    y0: float
    x1: float
    y1: float

    def meets(self, other: _Box) -> bool:
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1


def _bar_boxes(x: BoardScore, y: BoardScore) -> list[_Box]:
    """The two error bars of a point as boxes without thickness."""
    here, there = x.value or 0.0, y.value or 0.0
    boxes = []
    if x.low is not None and x.high is not None:
        boxes.append(_Box(x.low, there, x.high, there))
    if y.low is not None and y.high is not None:
        boxes.append(_Box(here, y.low, here, y.high))
    return boxes


def _box(x: float, y: float, width: float, place: str) -> _Box:
    vertical, _, side = place.partition(" ")
    low = {"top": y + _MARK_H, "middle": y - _LINE_H / 2, "bottom": y - _MARK_H - _LINE_H}[vertical]
    gap = _MARK_W if vertical == "middle" else 0.0
    left = {"right": x + gap, "center": x - width / 2, "left": x - gap - width}[side]
    return _Box(left, low, left + width, low + _LINE_H)
