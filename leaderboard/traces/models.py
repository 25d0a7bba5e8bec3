"""A trace file of a run: where it is, its hash, whether it shows outcomes alone; and the sealed one beside it."""

from __future__ import annotations

from django.db import models

from leaderboard.runs.models import Run


class TraceFile(models.Model):
    """One Parquet file, one row a probe, that anybody may read. Of a hidden run it shows outcomes; the full trace lies
    beside it, sealed by the evaluator with a key that the site does not have."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="trace")
    format = models.CharField(max_length=10, default="parquet")
    path = models.CharField(max_length=300, help_text="Name in the media storage.")
    sha256 = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    rows = models.PositiveIntegerField()
    redacted = models.BooleanField(help_text="Outcomes alone: of a hidden run.")
    sealed_path = models.CharField(max_length=300, blank=True, help_text="Name of the sealed trace in the storage.")
    sealed_sha256 = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.run_id}.{self.format}"
