"""Reads of uploads."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Case, F, Q, QuerySet, Sum, When
from django.utils import timezone

from leaderboard.accounts.models import User
from leaderboard.methods.models import Submission, SubmissionState
from leaderboard.uploads import files
from leaderboard.uploads.models import HELD, OPEN, Upload, UploadState

_LIVE = (SubmissionState.SUBMITTED, SubmissionState.INSPECTING, SubmissionState.ACCEPTED)


def upload_list(*, owner: User) -> QuerySet[Upload]:
    """A person's own uploads, newest first, without those that are gone."""
    return Upload.objects.filter(owner=owner).exclude(state=UploadState.REMOVED)


def upload_get(*, upload_id: str, owner: User) -> Upload:
    """One upload of this person; other people's are as unknown as none. Raises `Upload.DoesNotExist`."""
    return Upload.objects.get(id=upload_id, owner=owner)


def upload_offset(upload: Upload) -> int:
    """Bytes that are there. While it is received the file knows best: a crash may have come before the row."""
    if upload.state == UploadState.RECEIVING:
        return files.part_length(upload.id) or 0
    return upload.size if upload.state in HELD else upload.received


def upload_complete(*, owner: User, sha256: str) -> Upload | None:
    """This person's own finished upload of these bytes. To know the digest of somebody else's is not enough."""
    return Upload.objects.filter(owner=owner, sha256=sha256, state=UploadState.COMPLETE).first()


def upload_submissions(upload: Upload) -> QuerySet[Submission]:
    """Submissions of the owner that still need the archive."""
    return Submission.objects.filter(
        submitter=upload.owner_id, image=f"archive@sha256:{upload.sha256}", state__in=_LIVE
    )


def open_count(owner: User) -> int:
    return Upload.objects.filter(owner=owner, state__in=OPEN).count()


def bytes_of_the_day(owner: User) -> int:
    """Bytes of the last 24 hours: promised ones while an upload is held, and those that came of one that is gone."""
    since = timezone.now() - timedelta(hours=24)
    counted = Case(When(state__in=HELD, then=F("size")), default=F("received"))
    found = Upload.objects.filter(owner=owner, created_at__gte=since).aggregate(total=Sum(counted))
    return int(found["total"] or 0)


def bytes_still_to_come() -> int:
    """Bytes that open uploads were promised and have not sent yet."""
    open_ones = Upload.objects.filter(state=UploadState.RECEIVING)
    return sum(max(0, upload.size - upload_offset(upload)) for upload in open_ones)


def archive_is_shared(upload: Upload) -> bool:
    """Whether another upload needs the same file."""
    others = Upload.objects.filter(Q(state=UploadState.COMPLETE) | Q(state=UploadState.CHECKING), sha256=upload.sha256)
    return others.exclude(id=upload.id).exists()
