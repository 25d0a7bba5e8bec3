"""Text of strangers as plain text: without what a terminal obeys, and without what reorders a line before the eye."""

from __future__ import annotations

import re

_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]"  # colours and cursor movements, as of progress bars
    r"|\x1b\][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)"  # window titles, links, the clipboard
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"  # what is left of either, and its 8-bit forms
    r"|[\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # right-to-left overrides
)
_HALF = re.compile("[\ud800-\udfff]")


def whole_text(text: str) -> str:
    """`text` with U+FFFD for every half character (lone surrogate): neither a file nor a database takes one. JSON can
    spell them (`"\\udce9"`), and a file's name that is no UTF-8 is read with them.
    """
    return _HALF.sub("\ufffd", text)


def plain_text(text: str) -> str:
    """`text` with line breaks as `\\n` and nothing but printable characters, tabs and line breaks."""
    return whole_text(_CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))
