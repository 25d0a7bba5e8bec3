"""Who looks: the one type for a signed-in or anonymous person."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser

from leaderboard.accounts.models import User

Viewer = User | AnonymousUser


def is_organiser(viewer: Viewer) -> bool:
    """Organisers see everything that the site stores."""
    return bool(viewer.is_active and viewer.is_staff)
