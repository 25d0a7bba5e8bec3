"""The plots of a board as Plotly JSON; colours are named here and filled in by the page, in its theme."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plotly.graph_objects as go

from leaderboard.boards.table import Column, Entry

#: Kind -> (name of a colour in the style sheet, marker). Shape repeats what colour says.
_MARKS = {
    "editing": ("blue", "circle"),
    "unlearning": ("vermilion", "square"),
    "in-context": ("green", "diamond"),
    "retrieval": ("purple", "triangle-up"),
    "control": ("grey", "x-open"),
}
_LABELS_UP_TO = 14


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
    mode = "markers+text" if len(entries) <= _LABELS_UP_TO else "markers"
    for kind, (colour, symbol) in _MARKS.items():
        mine = [entry for entry in entries if entry.kind == kind]
        if not mine:
            continue
        figure.add_scatter(
            x=[entry.score(x.key).value for entry in mine],
            y=[entry.score(y.key).value for entry in mine],
            error_x=_bars([entry.score(x.key) for entry in mine]),
            error_y=_bars([entry.score(y.key) for entry in mine]),
            mode=mode,
            text=[entry.method for entry in mine],
            textposition=[_place(entry, entries, x, y) for entry in mine],
            marker={"symbol": symbol, "size": 11, "line": {"width": 1.5}},
            name=kind,
            hovertemplate=f"<b>%{{text}}</b><br>{x.label} %{{x:.3f}}<br>{y.label} %{{y:.3f}}<extra></extra>",
            meta={"colour": colour},
        )
    figure.update_layout(
        template=None,
        margin={"l": 64, "r": 24, "t": 24, "b": 88},
        height=460,
        hovermode="closest",
        legend={"orientation": "h", "y": -0.2},
        xaxis={"title": {"text": f"{x.label} {x.arrow}"}, "range": [-0.06, 1.12], "dtick": 0.2, "zeroline": False},
        yaxis={"title": {"text": f"{y.label} {y.arrow}"}, "range": [-0.06, 1.12], "dtick": 0.2, "zeroline": False},
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


def _place(entry: Entry, entries: list[Entry], x: Column, y: Column) -> str:
    """Where a label goes: away from the edge, and below where a neighbour stands close above."""
    here = (entry.score(x.key).value or 0.0, entry.score(y.key).value or 0.0)
    side = "left" if here[0] > 0.8 else "right" if here[0] < 0.2 else "center"
    for other in entries:
        if other is entry:
            continue
        dx = (other.score(x.key).value or 0.0) - here[0]
        dy = (other.score(y.key).value or 0.0) - here[1]
        if abs(dx) < 0.18 and (0 < dy < 0.09 or (dy == 0 and other.submission < entry.submission)):
            return f"bottom {side}"
    return f"top {side}"
