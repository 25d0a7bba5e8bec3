"""An upload: whose it is, how large it will be, and what became of it. Its bytes lie in `files`."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from leaderboard.core.ids import upload_id_make


class UploadState(models.TextChoices):
    RECEIVING = "RECEIVING", "Receiving"
    CHECKING = "CHECKING", "Checking"
    COMPLETE = "COMPLETE", "Complete"
    REFUSED = "REFUSED", "Refused"
    REMOVED = "REMOVED", "Removed"


#: Those whose bytes are on disk, or will be.
HELD = (UploadState.RECEIVING, UploadState.CHECKING, UploadState.COMPLETE)
#: Those that are not done yet.
OPEN = (UploadState.RECEIVING, UploadState.CHECKING)
#: Characters of what a tus client says of its file.
METADATA_MAX = 4_000


class Upload(models.Model):
    """One file of one person. Two people who upload the same bytes have a row each and share the file."""

    id = models.CharField(primary_key=True, max_length=24, default=upload_id_make, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="uploads")
    filename = models.CharField(max_length=255, help_text="As its owner calls it: a label, never a path.")
    size = models.PositiveBigIntegerField(help_text="Bytes that it will have.")
    received = models.PositiveBigIntegerField(
        default=0,
        help_text="Bytes at the last acknowledgement; while it is received, the file's own length is the truth.",
    )
    state = models.CharField(max_length=12, choices=UploadState.choices, default=UploadState.RECEIVING)
    expected_sha256 = models.CharField(max_length=64, blank=True, help_text="What its owner says it will hash to.")
    fingerprint = models.CharField(
        max_length=200, blank=True, help_text="Its owner's own mark of the file, to find the upload again."
    )
    metadata = models.CharField(
        max_length=METADATA_MAX,
        blank=True,
        help_text="What its client said of it (tus), to be given back as it was sent.",
    )
    sha256 = models.CharField(max_length=64, blank=True, db_index=True)
    problems = models.JSONField(default=list, blank=True, help_text="Why it was refused or removed.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    expires_at = models.DateTimeField()

    class Meta:
        ordering = ("-created_at",)
        indexes = (
            models.Index(fields=["owner", "state"], name="upload_owner_state"),
            models.Index(fields=["state", "expires_at"], name="upload_state_expiry"),
        )
        constraints = (
            models.CheckConstraint(condition=models.Q(state__in=UploadState.values), name="upload_state_known"),
        )

    def __str__(self) -> str:
        return f"{self.filename} ({self.id})"

    @property
    def image(self) -> str:
        """The reference to submit; empty until the upload is complete."""
        return f"archive@sha256:{self.sha256}" if self.state == UploadState.COMPLETE else ""
