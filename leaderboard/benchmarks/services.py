"""Writes of benchmark releases: taken over from public cards."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from evaluator.contract import ReleaseCard
from leaderboard.audit.services import audit_record, audited
from leaderboard.benchmarks.models import Release
from leaderboard.core.problems import Problem, Refused, problem_make


def release_import(*, cards: Path, actor: str = "command:release_import") -> list[tuple[Release, bool]]:
    """Take over every `*.json` card of a folder: (release, was it new). All or nothing.

    A card whose content hash differs from the known one is refused: a release is frozen, scores of both would mix.
    Raises `Refused` with every bad card.
    """
    problems: list[Problem] = []
    loaded: list[ReleaseCard] = []
    for path in sorted(cards.glob("*.json")):
        try:
            loaded.append(ReleaseCard.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError) as error:
            problems.append(problem_make("card", path.name, str(error), "build the release again"))
    known = {release.slug: release for release in Release.objects.all()}
    for card in loaded:
        old = known.get(card.slug)
        if old and old.content_sha256 != card.content_sha256 and old.runs.exists():
            problems.append(
                problem_make(
                    "content_sha256",
                    card.content_sha256,
                    f"differs from the release {card.slug} that runs were scored on ({old.content_sha256[:12]}…)",
                    "build the changed release under a new slug",
                )
            )
    if problems:
        raise Refused(problems)
    with audited():
        return [_take_over(card, known.get(card.slug), actor) for card in loaded]


def _take_over(card: ReleaseCard, old: Release | None, actor: str) -> tuple[Release, bool]:
    """The release of a card; an entry in the audit log when anything of it is new."""
    before = {} if old is None else {name: str(getattr(old, name)) for name in _fields(card)}
    release, new = Release.objects.update_or_create(slug=card.slug, defaults=_fields(card))
    after = {name: str(value) for name, value in _fields(card).items()}
    if changed := [name for name in after if before.get(name) != after[name]]:
        audit_record(
            actor=actor,
            action="release.import",
            target=release,
            before={name: before[name] for name in changed if name in before},
            after={name: after[name] for name in changed},
        )
    return release, new


def _fields(card: ReleaseCard) -> dict[str, object]:
    same = [
        "benchmark",
        "title",
        "track",
        "split",
        "size",
        "version",
        "round",
        "base_name",
        "base_sha256",
        "content_sha256",
        "n_subjects",
        "licence",
    ]
    fields: dict[str, object] = {name: getattr(card, name) for name in same}
    return fields | {
        "probe_counts": card.probe_counts,
        "base_rates": {name: list(counts) for name, counts in card.base_rates.items()},
        "sources": list(card.sources),
        "built_at": card.created_at,
    }
