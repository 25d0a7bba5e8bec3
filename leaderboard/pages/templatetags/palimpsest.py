"""Filters and small pictures that several pages share."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django import template
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from evaluator.contract import BoardScore
from leaderboard.boards.table import value_format
from leaderboard.core.markdown import markdown_render

register = template.Library()

_THIN = 'vector-effect="non-scaling-stroke"'
_SVG = '<svg class="whisker" viewBox="-2 0 104 10" preserveAspectRatio="none" aria-hidden="true">'
_STATE_CHIPS = {
    "SCORED": "good",
    "ACCEPTED": "good",
    "FAILED_METHOD": "bad",
    "FAILED_PLATFORM": "bad",
    "TIMED_OUT": "bad",
    "REFUSED": "bad",
    "QUEUED": "wait",
    "SUBMITTED": "wait",
    "CANCELLED": "off",
    "WITHDRAWN": "off",
}


@register.filter
def markdown(text: str) -> SafeString:
    """Sanitised HTML of Markdown."""
    return mark_safe(markdown_render(text))  # noqa: S308  cleaned by nh3  # nosec B308 B703


@register.filter
def paragraphs(text: str) -> SafeString:
    """Paragraphs of a docstring: a blank line parts them, a single line break is only where the source was wrapped."""
    parts = (" ".join(part.split()) for part in text.replace("\r", "").split("\n\n"))
    return format_html_join("", "<p>{}</p>", ((part,) for part in parts if part))


@register.filter
def metric(value: float | None, unit: str = "") -> str:
    """A number as the boards write it; nothing for None."""
    return "" if value is None else value_format(value, unit)


@register.filter
def mark(value: Any) -> str:
    """What was measured on one probe: whole numbers as they are, others with three decimals."""
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.3f}"
    return str(int(value)) if isinstance(value, float) else str(value)


@register.filter
def chip(state: str) -> str:
    """The class of a state's chip."""
    return f"chip-{_STATE_CHIPS.get(state, 'busy')}"


@register.filter
def host(address: str) -> str:
    """The host of a web address, without `www.`; nothing when it has none."""
    return (urlsplit(address).hostname or "").removeprefix("www.")


@register.filter
def when(stamp: Any) -> SafeString | str:
    """A `time` element in UTC from a datetime or an ISO string; nothing for None."""
    moment = parse_datetime(stamp) if isinstance(stamp, str) else stamp
    if moment is None:
        return ""
    return format_html(
        '<time datetime="{}" data-local>{}</time>', moment.isoformat(), moment.strftime("%Y-%m-%d %H:%M UTC")
    )


@register.filter
def short(digest: str, length: int = 12) -> str:
    """The first characters of a hash; `sha256:` is kept."""
    head, colon, tail = digest.rpartition(":")
    return f"{head}{colon}{tail[:length]}"


@register.filter
def image_short(image: str) -> str:
    """A reference to an image with its digest cut; a tag stays whole."""
    return f"{short(image)}…" if "sha256:" in image else image


@register.simple_tag
def whisker(score: BoardScore, reference: float | None = None) -> SafeString:
    """A picture of a value in [0, 1] with its interval, on an axis 100 wide; `reference` is a dashed tick."""

    def place(value: float) -> float:
        return round(100 * min(max(value, 0.0), 1.0), 1)

    parts = ['<line class="axis" x1="0" y1="9" x2="100" y2="9"/>']
    if reference is not None:
        parts.append(f'<line class="ref" x1="{place(reference)}" y1="0" x2="{place(reference)}" y2="10" {_THIN}/>')
    if score.low is not None and score.high is not None:
        parts.append(f'<line class="span" x1="{place(score.low)}" y1="5" x2="{place(score.high)}" y2="5" {_THIN}/>')
    if score.value is not None:
        parts.append(f'<rect class="dot" x="{place(score.value) - 1:.1f}" y="1.5" width="2" height="7"/>')
    return mark_safe(f"{_SVG}{''.join(parts)}</svg>")  # noqa: S308  numbers only  # nosec B308 B703
