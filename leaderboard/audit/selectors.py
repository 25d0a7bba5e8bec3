"""Reads of the audit log: its entries, and whether the chain of hashes still holds."""

from __future__ import annotations

from dataclasses import dataclass

from leaderboard.audit.models import START, AuditEntry


@dataclass(frozen=True)
class ChainReport:
    """What a walk along the chain found. `head` is the hash of the last entry; note it elsewhere, and later runs of
    `audit_verify --contains` tell whether the end of the log was cut off."""

    entries: int
    head: str
    problems: tuple[str, ...]


def chain_verify(*, contains: str = "", most_problems: int = 20) -> ChainReport:
    """Recompute every hash in order. A changed, removed, inserted or reordered row is a problem that names its id."""
    problems: list[str] = []
    previous, count, known = START, 0, not contains
    for entry in AuditEntry.objects.order_by("id").iterator(chunk_size=2000):
        count += 1
        if entry.previous_sha256 != previous:
            problems.append(f"entry {entry.pk}: does not follow the entry before it; one was removed or put between")
        if entry.digest() != entry.sha256:
            problems.append(f"entry {entry.pk}: was changed after it was written ({entry})")
        known = known or entry.sha256 == contains
        previous = entry.sha256
        if len(problems) >= most_problems:
            break
    if not known:
        problems.append(f"no entry has the hash {contains}: the end of the log was cut off, or the hash is not of it")
    return ChainReport(count, previous, tuple(problems))
