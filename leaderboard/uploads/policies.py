"""How much a person may upload, and how long it is kept."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings

from evaluator.contract import HEAD_BYTES
from leaderboard.accounts.models import User
from leaderboard.core.problems import NoSpace, Problem, QuotaSpent, Refused, TooLarge, problem_make
from leaderboard.uploads import files, selectors

MB = 1_000_000
_SMALLEST = 2 * HEAD_BYTES  # a tar without a member


def max_bytes() -> int:
    return int(settings.UPLOAD_MAX_MB) * MB


def unfinished_until(now: datetime, *, opened_at: datetime) -> datetime:
    """An upload that nothing comes for expires; one that trickles does too, only later."""
    idle = now + timedelta(hours=settings.UPLOAD_IDLE_H)
    return min(idle, opened_at + timedelta(days=settings.UPLOAD_KEEP_DAYS))


def finished_until(now: datetime) -> datetime:
    return now + timedelta(days=settings.UPLOAD_KEEP_DAYS)


def size_check(size: int, problems: list[Problem]) -> None:
    """Raises `TooLarge`; a file too small to be an archive is a problem."""
    if size > max_bytes():
        remedy = "leave out what the method does not need, or push the image to a registry and submit it by reference"
        raise TooLarge([problem_make("size", size, f"is over the cap of {settings.UPLOAD_MAX_MB} MB", remedy)])
    if size < _SMALLEST:
        problems.append(problem_make("size", size, "is too small for an image archive", "choose the archive itself"))


def room_check(owner: User, size: int) -> None:
    """Raises `QuotaSpent`, `NoSpace`."""
    count = selectors.open_count(owner)
    if count >= settings.UPLOADS_OPEN_PER_USER:
        problem = f"uploads are open already, and {settings.UPLOADS_OPEN_PER_USER} may be"
        remedy = "go on with one of them, or discard it"
        raise QuotaSpent([problem_make("uploads", count, problem, remedy)])
    left = int(settings.UPLOAD_MB_PER_DAY) * MB - selectors.bytes_of_the_day(owner)
    if size > left and not owner.is_organiser:
        problem = f"is more than the {max(0, left) // MB} MB that are left of {settings.UPLOAD_MB_PER_DAY} MB a day"
        raise QuotaSpent([problem_make("size", size, problem, "upload it tomorrow, or push it to a registry")])
    spare = files.free_bytes() - selectors.bytes_still_to_come() - int(settings.UPLOAD_DISK_RESERVE_MB) * MB
    if size > spare:
        raise NoSpace([disk_full(size)])


def disk_full(size: int) -> Problem:
    remedy = "try again later, push the image to a registry, or tell the organisers"
    return problem_make("size", size, "does not fit on the disk of the site at the moment", remedy)


def refuse_if(problems: list[Problem]) -> None:
    if problems:
        raise Refused(problems)
