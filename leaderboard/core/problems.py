"""Errors of the site's use cases: every reason at once, each naming field, value, problem and remedy."""

from __future__ import annotations

from typing import TypedDict


class Problem(TypedDict):
    field: str
    value: str
    problem: str
    remedy: str


def problem_make(field: str, value: object, problem: str, remedy: str) -> Problem:
    """A `Problem`; long values are cut, and half characters written out: an answer can't carry them."""
    text = ("" if value is None else str(value)).encode(errors="backslashreplace").decode()
    return {
        "field": field,
        "value": text if len(text) <= 120 else text[:117] + "...",
        "problem": problem,
        "remedy": remedy,
    }


def problem_text(problem: Problem) -> str:
    """One line: field, value, what is wrong, what to do."""
    value = f" {problem['value']!r}" if problem["value"] else ""
    return f"{problem['field']}{value}: {problem['problem']} ({problem['remedy']})"


class Refused(Exception):
    """A request that cannot be done. `problems` holds every reason; `status` is its HTTP status."""

    status = 400

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("; ".join(problem_text(problem) for problem in problems))


class Duplicate(Refused):
    """The same thing exists already; the problem names it."""

    status = 409


class NotAllowed(Refused):
    """The person may not do this."""

    status = 403


class QuotaSpent(Refused):
    """Too many submissions in the window."""

    status = 429


class Conflict(Refused):
    """The thing is in a state that does not allow this any more."""

    status = 409


class Gone(Refused):
    """The thing was here and is no more."""

    status = 410


class TooLarge(Refused):
    """More bytes than are taken."""

    status = 413


class NoSpace(Refused):
    """The disk of the site is too full for this."""

    status = 507
