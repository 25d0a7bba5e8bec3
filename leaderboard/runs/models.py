"""Runs, the events of their life, their scores, and the workers that do them."""

from __future__ import annotations

from typing import Any

from django.db import models, transaction
from django.urls import reverse

from leaderboard.audit.services import audit_record
from leaderboard.benchmarks.models import Release
from leaderboard.core.append_only import AppendOnlyModel
from leaderboard.core.ids import run_id_make
from leaderboard.methods.models import Submission
from leaderboard.runs.states import ACTIVE, FINAL, RunState


class Run(models.Model):
    """One evaluation of one submission on one release with one seed: a row of the queue of record."""

    id = models.CharField(primary_key=True, max_length=16, default=run_id_make, editable=False)
    submission = models.ForeignKey(Submission, on_delete=models.PROTECT, related_name="runs")
    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="runs")
    seed = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=16, choices=RunState.choices, default=RunState.QUEUED, db_index=True)
    attempt = models.PositiveSmallIntegerField(default=0, help_text="How often a worker has started it.")
    priority = models.SmallIntegerField(default=0, help_text="Higher goes first.")
    retries = models.PositiveSmallIntegerField(default=0, help_text="How often its submitter has queued it again.")
    waits_for = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="followers")

    fence = models.PositiveIntegerField(
        default=0, help_text="Grows with every lease; a write with an old one is refused."
    )
    lease_owner = models.CharField(max_length=120, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    deadline_at = models.DateTimeField(null=True, blank=True)
    suspected_at = models.DateTimeField(
        null=True, blank=True, help_text="When the reaper first found its lease out of date; a heartbeat clears it."
    )
    notified_at = models.DateTimeField(null=True, blank=True, help_text="When a message about it was last sent.")
    cancel_requested = models.BooleanField(default=False)
    needs_sweep = models.BooleanField(default=False, help_text="A worker died: containers may be left on `sweep_host`.")
    sweep_host = models.CharField(max_length=120, blank=True)

    stage = models.CharField(max_length=20, blank=True)
    fraction = models.FloatField(default=0.0)
    message = models.CharField(max_length=300, blank=True)
    failure_code = models.CharField(max_length=40, blank=True)
    reason = models.CharField(max_length=300, blank=True, help_text="Why it ended: fit for everybody.")
    detail = models.TextField(
        blank=True, help_text="May quote hidden data: organisers, and submitters on public splits."
    )
    log_tail = models.TextField(
        blank=True, help_text="End of the container's log: as `detail`, for organisers and submitters."
    )

    evaluator = models.CharField(max_length=40, blank=True, db_index=True)
    scorecard: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict, blank=True)
    receipt: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict, blank=True)
    seconds: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(
        default=dict, blank=True, help_text="Stage by stage: on a hidden split for organisers alone."
    )

    created_at = models.DateTimeField(auto_now_add=True)
    queued_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)
        indexes = (
            models.Index(fields=["state", "-priority", "queued_at"], name="run_queue"),
            models.Index(fields=["release", "state"], name="run_release_state"),
        )
        constraints = (
            models.UniqueConstraint(fields=["submission", "release", "seed"], name="run_once"),
            models.CheckConstraint(condition=models.Q(state__in=RunState.values), name="run_state_known"),
        )

    def __str__(self) -> str:
        return self.id

    def get_absolute_url(self) -> str:
        return reverse("runs:detail", args=[self.id])

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE


class RunEvent(AppendOnlyModel):
    """One thing that happened to a run. Rows are only ever added; each is an entry of the audit log too."""

    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="events")
    at = models.DateTimeField(auto_now_add=True)
    from_state = models.CharField(max_length=16, blank=True)
    to_state = models.CharField(max_length=16)
    fence = models.PositiveIntegerField(default=0)
    attempt = models.PositiveSmallIntegerField(default=0)
    actor = models.CharField(max_length=120, help_text="`worker:…`, `user:…` or `reaper`.")
    note = models.CharField(max_length=300, blank=True, help_text="Fit for everybody.")

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.run_id}: {self.from_state} → {self.to_state}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            super().save(*args, **kwargs)
            audit_record(
                actor=self.actor,
                action="run.transition" if self.from_state != self.to_state else "run.note",
                target=("run", self.run_id),
                reason=self.note,
                before={"state": self.from_state},
                after={"state": self.to_state, "attempt": self.attempt, "fence": self.fence},
            )


class Score(models.Model):
    """One metric of one run; `value` is null when it was not run."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="scores")
    key = models.CharField(max_length=60)
    version = models.CharField(max_length=80)
    value = models.FloatField(null=True)
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)
    n_items = models.PositiveIntegerField(default=0)
    n_subjects = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ("id",)
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="score_once_per_metric")]

    def __str__(self) -> str:
        return f"{self.run_id}.{self.key}"


class Worker(models.Model):
    """A worker process that was heard of lately: what `/readyz` and the queue page look at."""

    name = models.CharField(max_length=120, primary_key=True)
    host = models.CharField(max_length=120)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ("-seen_at",)

    def __str__(self) -> str:
        return self.name
