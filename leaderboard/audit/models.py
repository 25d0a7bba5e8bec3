"""One act: who, when, what, to what, and the hash of the act before it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.db import models

from leaderboard.core.append_only import AppendOnlyModel

#: What the first entry has in place of an earlier one's hash.
START = "0" * 64


class AuditEntry(AppendOnlyModel):
    """Rows are only ever added, by `services.audit_record`, in the transaction of the act itself."""

    at = models.DateTimeField()
    actor = models.CharField(max_length=150, help_text="`user:…`, `worker:…`, `command:…`, `reaper`, `anonymous` …")
    action = models.CharField(max_length=60, help_text="What was done, as `run.transition` or `token.create`.")
    object_type = models.CharField(max_length=60)
    object_id = models.CharField(max_length=120, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    before: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict, blank=True)
    after: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict, blank=True)
    request_id = models.CharField(max_length=32, blank=True, help_text="As in the log lines and `X-Request-ID`.")
    client = models.CharField(max_length=32, blank=True, help_text="A keyed hash of the address it came from.")
    previous_sha256 = models.CharField(max_length=64)
    sha256 = models.CharField(max_length=64, unique=True)

    class Meta:
        ordering = ("id",)
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"
        indexes = (
            models.Index(fields=["object_type", "object_id"], name="audit_object"),
            models.Index(fields=["action", "at"], name="audit_action"),
            models.Index(fields=["actor", "at"], name="audit_actor"),
        )
        # One entry follows another: two that claim the same predecessor are a fork of the chain.
        constraints = (models.UniqueConstraint(fields=["previous_sha256"], name="audit_chain_has_no_fork"),)

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor} {self.action} {self.object_type} {self.object_id}"

    def digest(self) -> str:
        """SHA-256 over the hash before it and every field of its own, as canonical JSON."""
        fields = [
            self.previous_sha256,
            self.at.isoformat(timespec="microseconds"),
            self.actor,
            self.action,
            self.object_type,
            self.object_id,
            self.reason,
            self.before,
            self.after,
            self.request_id,
            self.client,
        ]
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()
