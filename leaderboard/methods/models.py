"""Registered methods and what is submitted for them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.urls import reverse
from simple_history.models import HistoricalRecords

from leaderboard.benchmarks.models import Release
from leaderboard.core.ids import submission_id_make


class Kind(models.TextChoices):
    EDITING = "editing", "Editing"
    UNLEARNING = "unlearning", "Unlearning"
    IN_CONTEXT = "in-context", "In-context"
    RETRIEVAL = "retrieval", "Retrieval"
    CONTROL = "control", "Control"


class Division(models.TextChoices):
    WEIGHTS = "weights", "Weights"
    SYSTEM = "system", "System"


class SubmissionState(models.TextChoices):
    SUBMITTED = "SUBMITTED", "Submitted"
    INSPECTING = "INSPECTING", "Inspecting"
    ACCEPTED = "ACCEPTED", "Accepted"
    REFUSED = "REFUSED", "Refused"
    WITHDRAWN = "WITHDRAWN", "Withdrawn"


#: What may follow what; a withdrawn submission leaves the boards but stays on record.
SUBMISSION_TRANSITIONS: dict[SubmissionState, frozenset[SubmissionState]] = {
    SubmissionState.SUBMITTED: frozenset({SubmissionState.INSPECTING, SubmissionState.WITHDRAWN}),
    SubmissionState.INSPECTING: frozenset(
        {SubmissionState.SUBMITTED, SubmissionState.ACCEPTED, SubmissionState.REFUSED, SubmissionState.WITHDRAWN}
    ),
    SubmissionState.ACCEPTED: frozenset({SubmissionState.WITHDRAWN}),
    SubmissionState.REFUSED: frozenset({SubmissionState.SUBMITTED}),  # sent again by the same user
    SubmissionState.WITHDRAWN: frozenset(),
}


class Method(models.Model):
    """A way to make a model forget, under one name; its submissions are its versions."""

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    paper = models.URLField(max_length=300, blank=True)
    code = models.URLField(max_length=300, blank=True)
    licence = models.CharField(max_length=80, blank=True)
    authors = models.JSONField(default=list, blank=True)
    description = models.TextField(blank=True, max_length=10_000)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="methods")
    created_at = models.DateTimeField(auto_now_add=True)
    registered_at = models.DateTimeField(
        null=True, blank=True, help_text="When its first submission was accepted; before, nobody else sees it."
    )
    skeleton = models.CharField(
        max_length=160, blank=True, db_index=True, help_text="Of the name: names that look alike have one skeleton."
    )
    history = HistoricalRecords()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("methods:detail", args=[self.slug])


class Submission(models.Model):
    """One image with one manifest: a version of a method."""

    id = models.CharField(primary_key=True, max_length=16, default=submission_id_make, editable=False)
    method = models.ForeignKey(Method, on_delete=models.PROTECT, related_name="submissions")
    submitter = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="submissions")
    version = models.CharField(max_length=40)
    image = models.CharField(
        max_length=400, help_text="As it was submitted: by digest, by tag, or an uploaded archive."
    )
    resolved = models.CharField(
        max_length=400, blank=True, help_text="What runs use: never a tag. Empty until a tag is resolved."
    )
    digest = models.CharField(
        max_length=400, blank=True, help_text="Of `resolved`: two names of one digest are one image."
    )
    image_id = models.CharField(max_length=80, blank=True, help_text="Of the image itself, as the inspection found it.")
    manifest: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField()
    manifest_sha256 = models.CharField(max_length=64)
    entry_sha256 = models.CharField(
        max_length=64, blank=True, help_text="Of how the image runs: with it, one image is one entry under any name."
    )
    division = models.CharField(max_length=10, choices=Division.choices)
    state = models.CharField(max_length=12, choices=SubmissionState.choices, default=SubmissionState.SUBMITTED)
    problems = models.JSONField(default=list, blank=True, help_text="Why it was refused: every reason.")
    inspection = models.JSONField(default=dict, blank=True, help_text="The inspection's report.")
    inspection_tries = models.PositiveSmallIntegerField(default=0)
    releases = models.ManyToManyField(Release, related_name="submissions", help_text="What it was submitted to.")
    seeds = models.JSONField(default=list)
    tryout = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("-created_at",)
        constraints = (
            models.UniqueConstraint(
                fields=["digest", "entry_sha256"],
                condition=~models.Q(digest="") & ~models.Q(state="REFUSED"),
                name="submission_once_per_digest",
            ),
            # The same image by another way: pulled, uploaded, or loaded on the host.
            models.UniqueConstraint(
                fields=["image_id", "entry_sha256"],
                condition=~models.Q(image_id=""),
                name="submission_once_per_image",
            ),
        )

    def __str__(self) -> str:
        return f"{self.method.name} {self.version} ({self.id})"

    def get_absolute_url(self) -> str:
        return reverse("methods:submission", args=[self.id])
