"""Writes of methods."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import IntegrityError
from django.utils.text import slugify

from leaderboard.accounts.models import User
from leaderboard.audit.services import actor_of, audit_record, audited
from leaderboard.core.problems import Duplicate, Problem, Refused, problem_make
from leaderboard.methods.models import Kind, Method


def method_register(
    *,
    owner: User,
    name: str,
    kind: str,
    slug: str = "",
    paper: str = "",
    code: str = "",
    licence: str = "",
    authors: Sequence[str] = (),
    description: str = "",
) -> Method:
    """Register a method under a slug (made from the name if not given). Raises `Refused`, `Duplicate`."""
    slug = slug or slugify(name)[:80]
    problems: list[Problem] = []
    if not name.strip() or len(name) > 80:
        problems.append(problem_make("name", name, "is empty or too long", "give 1 to 80 characters"))
    if not slug or slugify(slug) != slug:
        problems.append(problem_make("slug", slug, "is not a slug", "use small letters, digits and hyphens"))
    if kind not in Kind.values:
        problems.append(problem_make("kind", kind, "is not a known kind", f"one of {', '.join(Kind.values)}"))
    for field, value in (("paper", paper), ("code", code)):
        if value and not value.startswith(("http://", "https://")):
            problems.append(
                problem_make(field, value, "is not a web address", "start with https://, or leave it empty")
            )
    if problems:
        raise Refused(problems)
    try:
        with audited():
            method = Method.objects.create(
                slug=slug,
                name=name.strip(),
                kind=kind,
                paper=paper,
                code=code,
                licence=licence,
                authors=list(authors),
                description=description,
                owner=owner,
            )
            audit_record(actor=actor_of(owner), action="method.register", target=method, after={"slug": slug})
            return method
    except IntegrityError:
        taken = Method.objects.select_related("owner").get(slug=slug)
        remedy = "submit to it" if taken.owner_id == owner.pk else "choose another name"
        raise Duplicate(
            [problem_make("slug", slug, f"is registered already by {taken.owner.username}", remedy)]
        ) from None
