"""The errors of the reference entries: each names the field, its value and what would be right."""

from __future__ import annotations


class MethodError(Exception):
    """A fault of the input or the settings that ends the container with a non-zero status.

    The message reads ``field: problem (got value); remedy`` and never holds more than 200
    characters of the value, so that a log line stays a line.
    """

    def __init__(self, field: str, value: object, problem: str, remedy: str) -> None:
        text = repr(value)
        shown = text if len(text) <= 200 else text[:197] + "..."
        super().__init__(f"{field}: {problem} (got {shown}); {remedy}")
        self.field = field
        self.value = value
        self.problem = problem
        self.remedy = remedy
