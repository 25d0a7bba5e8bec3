"""A board's snapshot: the ranking of one (release, evaluator version) at one moment, never changed."""

from __future__ import annotations

from typing import Any

from django.db import models

from leaderboard.benchmarks.models import Release
from leaderboard.runs.models import AppendOnlyError


class BoardSnapshot(models.Model):
    """`payload` is the Board JSON that every page, CSV, JSON and Parquet of the board is made from."""

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

    def __str__(self) -> str:
        return f"{self.release.slug} r{self.revision} (evaluator {self.evaluator})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnlyError("a board snapshot is never changed; publish a new revision instead")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AppendOnlyError("a board snapshot is never deleted; withdraw the submission and publish again")
