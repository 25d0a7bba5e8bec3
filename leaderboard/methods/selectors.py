"""Reads of methods."""

from __future__ import annotations

from leaderboard.methods.models import Method


def method_get(*, slug: str) -> Method:
    """One method. Raises `Method.DoesNotExist`."""
    return Method.objects.select_related("owner").get(slug=slug)
