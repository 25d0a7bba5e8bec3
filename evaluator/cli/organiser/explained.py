"""How an explanation and a comparison look as text. Responses are strangers' text: they are quoted and escaped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from evaluator.analysis.compare import Change, Comparison, ItemChange
from evaluator.analysis.explain import ExplainedValue, Explanation, Token

#: Items of a comparison that are shown as text; JSON holds them all.
SHOWN_ITEMS = 20


def quoted(text: str | None) -> str:
    """A text on one line, with every character that a terminal would act on escaped."""
    if text is None:
        return "withheld"
    plain = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in plain)


def number(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return "not run"
    return f"{value:+.6g}" if signed else f"{value:.6g}"


def _table(lines: list[list[str]]) -> Iterator[str]:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def explanation_text(found: Explanation) -> str:
    """One item, from its question down to the metrics that it moves."""
    return "\n".join([*_item(found), *_token_lines(found), *_value_lines(found), *_effect_lines(found)])


def _item(found: Explanation) -> Iterator[str]:
    known = "answered it correctly" if found.base_correct else "did not answer it correctly"
    yield f"{quoted(found.item_id)[1:-1]}: a {found.kind} probe of the {found.split_role} part; the base {known}"
    for warning in found.warnings:
        yield f"  WARNING  {warning}"
    if found.withheld:
        yield f"  withheld on this hidden split: {', '.join(found.withheld)}"
        yield "  outcomes alone are shown, under a name of this run; nothing can be recomputed from them"
        return
    yield f"  prompt         {quoted(found.prompt)}"
    yield f"  reference      {quoted(found.reference)}"
    yield f"  aliases        {', '.join(quoted(alias) for alias in found.aliases)}"
    yield f"  response       {quoted(found.response)}"
    yield f"  base response  {quoted(found.base_response)}"


def _token_lines(found: Explanation) -> Iterator[str]:
    if not found.tokens:
        if not found.withheld:
            yield "\nPrimitives: the reference was not scored"
        return
    yield "\nPrimitives: the reference, token by token (log p in nats; * marks the answer)"
    columns = ["text", "log p", "hit", "rank", "mean", "variance"]
    rows = [_token(token) for token in found.tokens]
    kept = [i for i, name in enumerate(columns) if name in ("log p", "hit") or any(row[i + 1] for row in rows)]
    yield from _table(
        [["token", *(columns[i] for i in kept)], *([row[0], *(row[i + 1] for i in kept)] for row in rows)]
    )
    if all(token.text is None for token in found.tokens):
        yield "  (--base DIR shows the tokens' text)"


def _token(token: Token) -> list[str]:
    def cell(value: float | None) -> str:
        return "" if value is None else f"{value:.4f}"

    return [
        f"{token.index}{'*' if token.in_answer else ''}",
        "" if token.text is None else quoted(token.text),
        "not finite" if token.logprob is None else f"{token.logprob:.4f}",
        {True: "yes", False: "no", None: ""}[token.hit],
        "" if token.rank is None else str(token.rank),
        cell(token.mean),
        cell(token.variance),
    ]


def _value_lines(found: Explanation) -> Iterator[str]:
    yield "\nValues made of them"
    yield from _table([[value.name, number(value.stored), _verdict(value), value.formula] for value in found.values])


def _verdict(value: ExplainedValue) -> str:
    if value.agrees is False:
        return f"STORED {number(value.stored)}, RECOMPUTED {number(value.recomputed)}"
    if value.agrees is None:
        return value.note or "not recomputed"
    return value.note or "recomputed the same"


def _effect_lines(found: Explanation) -> Iterator[str]:
    if not found.effects:
        yield "\nMetrics: this item enters none (locality counts only what the base answered correctly)"
        return
    yield "\nMetrics that it enters: with the item, without it, and what the item does"
    rows = [
        [
            e.label,
            number(e.value),
            number(e.without),
            _moved(e.difference, e.direction),
            f"through {', '.join(e.means)}",
        ]
        for e in found.effects
    ]
    yield from _table([["metric", "with", "without", "difference", ""], *rows])


def _moved(difference: float | None, direction: str) -> str:
    if difference is None:
        return "not run"
    if difference == 0:
        return "0"
    better = (difference > 0) == (direction == "up")
    return f"{number(difference, signed=True)} ({'better' if better else 'worse'})"


# ---------------------------------------------------------------- two traces


def comparison_text(found: Comparison) -> str:
    """Which metrics differ, and which items did it."""
    return "\n".join(_comparison(found))


def _comparison(found: Comparison) -> Iterator[str]:
    if not found.items:
        yield f"the traces agree: all {found.n_items} items have the same values and primitives"
        return
    yield f"{len(found.items)} of {found.n_items} items differ; {len(found.metrics)} metrics differ"
    if found.metrics:
        rows = [
            [m.label, number(m.old), number(m.new), _moved(m.difference, m.direction), _explained_by(m.key, found)]
            for m in found.metrics
        ]
        yield from _table([["metric", "old", "new", "difference", "moved most by"], *rows])
    for item in found.items[:SHOWN_ITEMS]:
        yield "\n" + item_change_text(item)
    if len(found.items) > SHOWN_ITEMS:
        yield f"\n… and {len(found.items) - SHOWN_ITEMS} more items; --json lists them all"


def _explained_by(key: str, found: Comparison) -> str:
    movers = [item for item in found.items if key in item.contributions]
    if not movers:
        return "several items together"
    most = max(movers, key=lambda item: abs(item.contributions[key]))
    others = f" and {len(movers) - 1} others" if len(movers) > 1 else ""
    return f"{quoted(most.item_id)[1:-1]} ({number(most.contributions[key], signed=True)}){others}"


def item_change_text(item: ItemChange) -> str:
    """What changed in one item, and how far it moves each metric."""
    lines = [f"{quoted(item.item_id)[1:-1]} ({item.kind})"]
    for change in (*item.primitives, *item.values):
        lines.append(f"  {_place(change)}: {_shown(change.old)} → {_shown(change.new)}")
    moved = ", ".join(f"{key} {number(value, signed=True)}" for key, value in item.contributions.items())
    lines.append(f"  alone it moves: {moved}" if moved else "  moves no metric")
    return "\n".join(lines)


def _place(change: Change) -> str:
    return change.name if change.index is None else f"{change.name}, first at {change.index}"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return quoted(value)
    if value is None:
        return "not run"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, float) else str(value)
