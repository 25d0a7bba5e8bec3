"""Reads of methods."""

from __future__ import annotations

from leaderboard.accounts.models import User
from leaderboard.methods.models import Method
from leaderboard.methods.names import same_name, slug_make


def method_get(*, slug: str) -> Method:
    """One method. Raises `Method.DoesNotExist`."""
    return Method.objects.select_related("owner").get(slug=slug)


def method_named(*, owner: User, name: str) -> Method | None:
    """The method that a manifest's name means: the owner's of that name, or whoever has its slug. None when it is new.

    The one that has the slug may have another name: `same_name` tells.
    """
    own = (
        Method.objects.select_related("owner").filter(owner=owner).exclude(skeleton="")
    )  # without one, its name is lost
    found = next((method for method in own if same_name(method.name, name)), None)
    return found or Method.objects.select_related("owner").filter(slug=slug_make(name)).first()
