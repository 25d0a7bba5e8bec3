"""Reads of boards: always a snapshot, never a calculation."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import OuterRef, QuerySet, Subquery

from leaderboard.benchmarks.models import Release
from leaderboard.boards.models import BoardSnapshot


@dataclass(frozen=True)
class BoardLine:
    """One board in the list of boards; `snapshot` is None until something is scored."""

    release: Release
    snapshot: BoardSnapshot | None

    @property
    def n_rows(self) -> int:
        return len(self.snapshot.payload["rows"]) if self.snapshot else 0


def board_latest(*, release_slug: str, evaluator: str | None = None) -> BoardSnapshot | None:
    """The newest snapshot of a release (of one evaluator version, if named), or None."""
    found = BoardSnapshot.objects.select_related("release").filter(release__slug=release_slug)
    if evaluator is not None:
        found = found.filter(evaluator=evaluator)
    return found.order_by("-created_at", "-id").first()


def board_revision(*, release_slug: str, evaluator: str, revision: int) -> BoardSnapshot:
    """One snapshot for ever. Raises `BoardSnapshot.DoesNotExist`."""
    found: BoardSnapshot = BoardSnapshot.objects.select_related("release").get(
        release__slug=release_slug, evaluator=evaluator, revision=revision
    )
    return found


def board_history(*, release_slug: str) -> QuerySet[BoardSnapshot]:
    """Every snapshot of a release, newest first, without payloads."""
    return BoardSnapshot.objects.filter(release__slug=release_slug).defer("payload").order_by("-created_at", "-id")


def board_list() -> list[BoardLine]:
    """Every release with its newest snapshot: 2 queries."""
    newest = BoardSnapshot.objects.filter(release=OuterRef("pk")).order_by("-created_at", "-id").values("pk")[:1]
    releases = list(Release.objects.annotate(newest_snapshot=Subquery(newest)))
    snapshots = BoardSnapshot.objects.select_related("release").in_bulk(
        [r.newest_snapshot for r in releases if r.newest_snapshot]
    )
    return [BoardLine(release, snapshots.get(release.newest_snapshot)) for release in releases]
