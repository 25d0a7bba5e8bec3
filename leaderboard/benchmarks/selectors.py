"""Reads of benchmark releases."""

from __future__ import annotations

from django.db.models import QuerySet

from leaderboard.benchmarks.models import Release, ReleaseState


def release_list(*, active_only: bool = False) -> QuerySet[Release]:
    """Releases by benchmark, size and split."""
    found = Release.objects.all()
    return found.filter(state=ReleaseState.ACTIVE) if active_only else found


def release_get(*, slug: str) -> Release:
    """One release. Raises `Release.DoesNotExist`."""
    return Release.objects.get(slug=slug)


def release_rounds(release: Release) -> list[Release]:
    """The other rounds of a hidden release, the newest first."""
    found = Release.objects.filter(benchmark=release.benchmark, size=release.size, split=release.split)
    return list(found.exclude(pk=release.pk).order_by("-round"))


def release_slugs_open_to_submit() -> list[str]:
    """Slugs that a submission may name."""
    return list(release_list(active_only=True).values_list("slug", flat=True))
