"""Writes of methods."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from django.db import IntegrityError
from django.db.models import Q
from django.utils import timezone
from django.utils.text import slugify

from leaderboard.accounts.models import User
from leaderboard.audit.services import actor_of, audit_record, audited
from leaderboard.core.problems import Duplicate, Problem, Refused, problem_make
from leaderboard.methods.models import Kind, Method, SubmissionState
from leaderboard.methods.names import name_problem, skeleton, slug_make


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
    """Put a method on record under a slug (made from the name if not given); it is registered, and everybody sees it,
    when a submission for it is accepted. Until then its name is held only while one is looked at.

    Raises `Refused`, `Duplicate`.
    """
    name = unicodedata.normalize("NFC", name).strip()
    problems: list[Problem] = []
    if not name or len(name) > 80:
        problems.append(problem_make("name", name, "is empty or too long", "give 1 to 80 characters"))
    elif problem := name_problem(name):
        problems.append(problem_make("name", name, problem, "write it in Latin letters, digits and ASCII signs"))
    elif not slug and not slug_make(name):
        remedy = "use a letter from a to z or a digit too"
        problems.append(problem_make("name", name, "holds no letter that an address can be made of", remedy))
    if slug and slugify(slug) != slug:
        problems.append(problem_make("slug", slug, "is not a slug", "use small letters, digits and hyphens"))
    slug = slug or slug_make(name)
    if kind not in Kind.values:
        problems.append(problem_make("kind", kind, "is not a known kind", f"one of {', '.join(Kind.values)}"))
    elif kind == Kind.CONTROL and not owner.is_organiser:
        problems.append(control_problem("kind"))
    for field, value in (("paper", paper), ("code", code)):
        if value and not value.startswith(("http://", "https://")):
            problems.append(
                problem_make(field, value, "is not a web address", "start with https://, or leave it empty")
            )
    if problems:
        raise Refused(problems)
    try:
        with audited():
            _vacate(slug, name, owner)
            method = Method.objects.create(
                slug=slug,
                name=name,
                skeleton=skeleton(name),
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
            [problem_make("slug", slug, f"is a method of {taken.owner.username} already", remedy)]
        ) from None


def control_problem(field: str) -> Problem:
    """Why a submitter's method can't be a control."""
    remedy = f"choose the kind that your method is: {', '.join(kind for kind in Kind.values if kind != Kind.CONTROL)}"
    return problem_make(field, Kind.CONTROL, "is for the fixed points that organisers submit", remedy)


def _vacate(slug: str, name: str, owner: User) -> None:
    """Free the names of others' methods that were never registered, unless a submission for them is looked at just now.

    Raises `Refused` for a name that looks like that of another method.
    """
    alike = Method.objects.select_for_update().filter(Q(slug=slug) | Q(skeleton=skeleton(name)))
    for method in alike.exclude(owner=owner):
        waiting = method.submissions.filter(state__in=[SubmissionState.SUBMITTED, SubmissionState.INSPECTING])
        if method.registered_at is None and not waiting.exists():
            before = {"slug": method.slug, "name": method.name}
            method.slug, method.skeleton = f"{method.slug[:60]}-unregistered-{method.pk}", ""
            method.save(update_fields=["slug", "skeleton"])
            audit_record(
                actor="names", action="method.vacate", target=method, before=before, after={"slug": method.slug}
            )
        elif method.slug != slug:
            problem = f"looks like {method.name!r}, a method of {method.owner.username}"
            raise Refused([problem_make("name", name, problem, "choose a name that nobody takes for it")])


def method_registered(*, method: Method) -> None:
    """A submission for it was accepted: from now on the name is its own, and everybody sees it. To be called within a
    transaction.
    """
    if Method.objects.filter(pk=method.pk, registered_at=None).update(registered_at=timezone.now()):
        audit_record(actor="inspection", action="method.registered", target=method, after={"slug": method.slug})
