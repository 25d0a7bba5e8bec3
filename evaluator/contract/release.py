"""The public card of a benchmark release: all that the site may know of it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ReleaseCard(BaseModel):
    """`card.json` of a release. Holds counts and hashes, no item of a hidden split."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    slug: str = Field(
        pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$"
    )  # e.g. pretrained-facts-10, pretrained-facts-10-r2, pretrained-facts-10-public
    benchmark: str  # pretrained-facts
    title: str
    track: Literal["pretrained", "finetuned", "public"]
    split: Literal["public", "hidden"]
    size: int  # forget requests
    version: str
    round: int = 1  # hidden releases are rotated: this is the how manieth of its benchmark and size
    pool: int = 0  # facts that the base was found to know when this was drawn; at least so many there are
    base_name: str
    base_sha256: str
    content_sha256: str  # over every file of the release, in name order
    probe_counts: dict[str, int]  # probe kind, or attack -> number of rows of a trace
    n_subjects: int
    licence: str
    sources: tuple[str, ...]
    attacks: tuple[str, ...] = ()  # under which facts are asked again, beside the plain questions
    # attack, or kept kind -> (probes that the base answered, probes that were tried on it)
    base_rates: dict[str, tuple[int, int]] = {}
    created_at: str  # ISO 8601, UTC
