"""A board's snapshot: the ranking of one (release, evaluator version) at one moment, never changed."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.db import models

from leaderboard.benchmarks.models import Release
from leaderboard.boards.withheld import payload_withheld
from leaderboard.core.append_only import AppendOnlyModel


class BoardSnapshot(AppendOnlyModel):
    """`payload` is the Board JSON as it was published; every page and file of the board is made from `shown`."""

    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="snapshots")
    evaluator = models.CharField(max_length=40)
    revision = models.PositiveIntegerField()
    payload: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField()
    inputs_sha256 = models.CharField(max_length=64, help_text="Over the runs and traces that it was made from.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = (
            "-created_at",
            "-revision",
        )
        constraints = (
            models.UniqueConstraint(fields=["release", "evaluator", "revision"], name="snapshot_revision_once"),
        )

    @cached_property
    def shown(self) -> dict[str, Any]:
        """The Board JSON as it may be read: one of a hidden release that was published with finer numbers is withheld
        as newer ones are.
        """
        return self.payload if self.release.is_open else payload_withheld(self.payload)

    def __str__(self) -> str:
        return f"{self.release.slug} r{self.revision} (evaluator {self.evaluator})"
