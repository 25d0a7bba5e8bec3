"""Markdown of authors and of our own documents, as HTML that cannot carry a script."""

from __future__ import annotations

import nh3
from markdown_it import MarkdownIt

_TAGS = nh3.ALLOWED_TAGS - {"img", "map", "area", "bdo", "style"}
_renderer = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table")


def markdown_render(text: str) -> str:
    """Sanitised HTML; raw HTML in the source is shown as text, pictures are dropped, links get `rel`."""
    html = nh3.clean(_renderer.render(text), tags=_TAGS, url_schemes={"http", "https", "mailto"})
    return html.replace("<pre>", '<pre tabindex="0">')  # a long line scrolls, so a keyboard must reach it
