"""A benchmark release as the site knows it: the fields of its public card."""

from __future__ import annotations

from django.db import models
from django.urls import reverse
from simple_history.models import HistoricalRecords


class ReleaseState(models.TextChoices):
    ACTIVE = "active", "Active"
    RETIRED = "retired", "Retired"


class Split(models.TextChoices):
    PUBLIC = "public", "Public"
    HIDDEN = "hidden", "Hidden"


class Release(models.Model):
    """One frozen set of items; a board belongs to one release. Imported by `manage.py release_import`."""

    slug = models.SlugField(max_length=80, unique=True)
    benchmark = models.CharField(max_length=80, db_index=True)
    title = models.CharField(max_length=200)
    track = models.CharField(max_length=20)
    split = models.CharField(max_length=10, choices=Split.choices)
    size = models.PositiveIntegerField(help_text="Forget requests.")
    version = models.CharField(max_length=40)
    round = models.PositiveSmallIntegerField(default=1, help_text="Hidden releases are rotated: how many there were.")
    base_name = models.CharField(max_length=120)
    base_sha256 = models.CharField(max_length=64)
    content_sha256 = models.CharField(max_length=64)
    probe_counts = models.JSONField(default=dict)
    base_rates = models.JSONField(
        default=dict, help_text="By attack or kind of kept probe: how many the base answered, and of how many tried."
    )
    n_subjects = models.PositiveIntegerField(default=0)
    licence = models.CharField(max_length=200, blank=True)
    sources = models.JSONField(default=list)
    built_at = models.CharField(max_length=40)
    state = models.CharField(max_length=10, choices=ReleaseState.choices, default=ReleaseState.ACTIVE)
    imported_at = models.DateTimeField(auto_now_add=True)
    history = HistoricalRecords()

    class Meta:
        ordering = (
            "benchmark",
            "size",
            "split",
            "slug",
        )

    def __str__(self) -> str:
        return self.slug

    def get_absolute_url(self) -> str:
        return reverse("boards:detail", args=[self.slug])

    @property
    def is_hidden(self) -> bool:
        return self.split == Split.HIDDEN

    @property
    def is_open(self) -> bool:
        """Prompts, answers and logs may be shown: a public split, or a hidden one that has retired."""
        return not self.is_hidden or self.state == ReleaseState.RETIRED

    @property
    def public_sibling_slug(self) -> str:
        return f"{self.benchmark}-{self.size}-public"
