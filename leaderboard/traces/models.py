"""A trace file of a run: where it is, what it hashes to, whether its text is withheld."""

from __future__ import annotations

from django.db import models

from leaderboard.runs.models import Run


class TraceFile(models.Model):
    """One Parquet file, one row a probe. Only what this viewer class may read is ever stored here: a hidden
    split's full trace stays with the evaluator."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="trace")
    format = models.CharField(max_length=10, default="parquet")
    path = models.CharField(max_length=300, help_text="Name in the media storage.")
    sha256 = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    rows = models.PositiveIntegerField()
    redacted = models.BooleanField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.run_id}.{self.format}"
