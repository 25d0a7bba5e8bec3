"""Writes of uploads: open one, take in its bytes, finish it, remove it, sweep up."""

from __future__ import annotations

import base64
import hashlib
import re
import tempfile
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from evaluator.contract import HEAD_BYTES, archive_fault
from leaderboard.accounts.models import User
from leaderboard.audit.services import actor_of, audit_record, audited
from leaderboard.core.problems import Conflict, Gone, NoSpace, Problem, Refused, TooLarge, problem_make
from leaderboard.core.task_messages import UPLOAD_FINISH, task_send
from leaderboard.uploads import files, policies, selectors
from leaderboard.uploads.models import HELD, OPEN, Upload, UploadState

logger = structlog.get_logger(__name__)

#: Bytes in memory at a time, and under the lock at a time.
BLOCK = 256 * 1024
#: A request with a checksum is set down beside the part until its sum is known.
CHECKED_MAX = 64 * 1024 * 1024
CHECKSUMS = ("sha256", "sha1")  # the protocol asks for sha1; it guards against accidents only
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ORPHAN_AGE_S = 3600.0
_RECORD_KEPT = timedelta(days=30)


class ChecksumMismatch(Refused):
    """What arrived is not what was sent (the status is the tus protocol's own)."""

    status = 460


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def upload_create(
    *, user: User, size: int, filename: str = "", sha256: str = "", fingerprint: str = "", metadata: str = ""
) -> Upload:
    """Open an upload of `size` bytes; `metadata` is kept for its client as it is.

    Raises `Refused`, `TooLarge`, `QuotaSpent`, `NoSpace`.
    """
    problems: list[Problem] = []
    policies.size_check(size, problems)
    filename = " ".join(filename.replace("\\", "/").rsplit("/", 1)[-1].split()) or "image.tar"
    for field, value, most in (("filename", filename, 255), ("fingerprint", fingerprint, 200)):
        if len(value) > most or not value.isprintable():
            problem = "is too long, or has characters that cannot be shown"
            problems.append(problem_make(field, value, problem, f"give up to {most} plain characters"))
    if sha256 and not _SHA256.fullmatch(sha256):
        problems.append(problem_make("sha256", sha256, "is not a SHA-256", "give 64 hex digits in small letters"))
    policies.refuse_if(problems)
    now = timezone.now()
    with files.folder_lock(), audited():  # two at once must not both take the last place
        policies.room_check(User.objects.select_for_update().get(pk=user.pk), size)
        upload = Upload(owner=user, filename=filename, size=size, expected_sha256=sha256, fingerprint=fingerprint)
        upload.metadata = metadata
        upload.expires_at = policies.unfinished_until(now, opened_at=now)
        upload.save(force_insert=True)
        files.part_create(upload.id)
        audit_record(
            actor=actor_of(user), action="upload.create", target=upload, after={"size": size, "file": filename}
        )
    return upload


def upload_append(
    *, upload: Upload, offset: int, stream: Readable, length: int, checksum: tuple[str, bytes] | None = None
) -> int:
    """Take in `length` bytes at `offset`; returns where the upload ends now, with everything before it on disk.

    What arrived of a request that broke off stays, unless it came with a checksum. `checksum`: algorithm and digest.
    Raises `Refused`, `Conflict` (the end is elsewhere), `Gone`, `TooLarge`, `ChecksumMismatch`, `NoSpace`.
    """
    _receiving_check(upload)
    there = files.part_length(upload.id)
    if there is None:
        raise _gone(upload)
    if offset != there:
        raise _offset_moved(offset, there)
    if length > upload.size - offset:
        problem = f"is more than the {upload.size - offset} bytes that are still to come"
        raise TooLarge([problem_make("Content-Length", length, problem, "send no more than Upload-Length in all")])
    try:
        if checksum is None:
            end = _copy(upload, offset, stream, length)
        else:
            end = _copy_checked(upload, offset, stream, length, checksum)
        files.part_sync(upload.id)
    except files.OffsetMoved as moved:
        raise _offset_moved(offset, moved.length) from None
    except FileNotFoundError:
        raise _gone(upload) from None
    except OSError as error:
        logger.warning("an upload does not fit", upload=upload.id, error=str(error))
        raise NoSpace([policies.disk_full(upload.size)]) from None
    _acknowledge(upload, end)
    return end


def upload_finish(*, upload_id: str) -> Upload | None:
    """Hash what was received and put it under its name. None when there is nothing to do, or somebody is at it."""
    upload = Upload.objects.filter(id=upload_id, state=UploadState.CHECKING).first()
    if upload is None:
        return None
    try:
        with files.part_hold(upload.id) as sha256:
            if upload.expected_sha256 and sha256 != upload.expected_sha256:
                remedy = "upload it again; if this comes back, the file changed while it was sent"
                problem = f"is not what arrived: {sha256}"
                return _refuse(upload, problem_make("sha256", upload.expected_sha256, problem, remedy))
            # The hash first: should this process die after the move, the row knows which file is its own.
            Upload.objects.filter(id=upload.id, state=UploadState.CHECKING).update(sha256=sha256)
            with files.folder_lock(), audited():
                if _complete(upload):
                    files.part_publish(upload.id, sha256)
    except files.PartBusy:
        return None
    except FileNotFoundError:
        with files.folder_lock(), audited():
            if not upload.sha256 or not files.archive_path(upload.sha256).is_file() or not _complete(upload):
                problem = "was not found on the site's disk"
                remedy = "upload it again; organisers: web and workers must share the folder `uploads`"
                return _refuse(upload, problem_make("file", upload.filename, problem, remedy))
    upload.refresh_from_db()
    return upload


def upload_claim(*, user: User, sha256: str) -> bool:
    """Keep this person's archive for a submission that is about to name it; False when there is none."""
    found = Upload.objects.filter(owner=user, sha256=sha256, state=UploadState.COMPLETE)
    return bool(found.update(expires_at=policies.finished_until(timezone.now()), updated_at=timezone.now()))


def upload_remove(*, upload: Upload, reason: str = "was discarded by its owner") -> None:
    """Drop an upload and its bytes. Raises `Conflict` while a submission needs them, `Gone`."""
    if upload.state not in HELD and upload.state != UploadState.REFUSED:
        raise _gone(upload)
    named = selectors.upload_submissions(upload).first() if upload.sha256 else None
    if named is not None:
        problem = f"is the image of submission {named.id}"
        raise Conflict([problem_make("upload", upload.id, problem, "withdraw the submission first")])
    _drop(upload, reason, actor=actor_of(upload.owner))


def uploads_sweep(*, now: datetime) -> int:
    """Finish what waits, expire what nobody needs, remove files that no row knows. How many rows it changed."""
    full = [upload for upload in Upload.objects.filter(state=UploadState.RECEIVING) if _is_full(upload)]
    changed = sum(_acknowledge(upload, upload.size) for upload in full)  # its last request died before it said so
    waiting = Upload.objects.filter(
        state=UploadState.CHECKING, updated_at__lt=now - timedelta(seconds=settings.RUN_NOTIFY_AFTER_S)
    )
    for upload in waiting:
        Upload.objects.filter(id=upload.id).update(updated_at=now)
        task_send(UPLOAD_FINISH, upload.id)
    for upload in Upload.objects.filter(state__in=(UploadState.RECEIVING, UploadState.COMPLETE), expires_at__lt=now):
        if upload.state != UploadState.COMPLETE or not selectors.upload_submissions(upload).exists():
            changed += _drop(upload, "expired", before=now)
    over = Upload.objects.exclude(state__in=HELD).filter(updated_at__lt=now - _RECORD_KEPT)
    return changed + over.delete()[0] + _orphans_remove(now)


def _receiving_check(upload: Upload) -> None:
    if upload.state == UploadState.RECEIVING:
        return
    if upload.state in HELD:
        raise Conflict([problem_make("upload", upload.id, "has all its bytes already", "ask for its state with GET")])
    raise _gone(upload)


def _copy(upload: Upload, at: int, stream: Readable, length: int) -> int:
    while length > 0 and (block := stream.read(min(BLOCK, length))):
        length -= len(block)
        end = files.part_append(upload.id, at, block)
        if at < HEAD_BYTES <= end:
            _head_check(upload)
        at = end
    return at


def _copy_checked(upload: Upload, at: int, stream: Readable, length: int, checksum: tuple[str, bytes]) -> int:
    algorithm, expected = checksum
    if length > CHECKED_MAX:
        problem = f"is more than the {CHECKED_MAX} bytes that one request with a checksum may have"
        raise TooLarge([problem_make("Content-Length", length, problem, "send smaller pieces")])
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with tempfile.TemporaryFile(dir=files.uploads_folder() / "incoming") as aside:
        left = length
        while left > 0 and (block := stream.read(min(BLOCK, left))):
            digest.update(block)
            aside.write(block)
            left -= len(block)
        if left or digest.digest() != expected:
            value = base64.b64encode(expected).decode()
            problem = "is not the sum of what arrived; nothing of it was kept"
            raise ChecksumMismatch([problem_make("Upload-Checksum", value, problem, "send the same bytes again")])
        aside.seek(0)
        return _copy(upload, at, aside, length)


def _head_check(upload: Upload) -> None:
    fault = archive_fault(files.part_head(upload.id, HEAD_BYTES))
    if fault is not None:
        problem = problem_make("file", upload.filename, *fault)
        _refuse(upload, problem)
        raise Refused([problem])


def _is_full(upload: Upload) -> bool:
    return files.part_length(upload.id) == upload.size


def _acknowledge(upload: Upload, end: int) -> int:
    """Write down how far it is; a full one goes on to be checked."""
    now = timezone.now()
    changes: dict[str, object] = {"received": end, "updated_at": now}
    if end == upload.size:
        changes["state"] = UploadState.CHECKING
    else:
        changes["expires_at"] = policies.unfinished_until(now, opened_at=upload.created_at)
    with audited() if end == upload.size else transaction.atomic():
        changed = Upload.objects.filter(id=upload.id, state=UploadState.RECEIVING).update(**changes)
        if changed and end == upload.size:
            _moved(upload, UploadState.RECEIVING, UploadState.CHECKING, actor_of(upload.owner))
            task_send(UPLOAD_FINISH, upload.id)
    return changed


def _moved(upload: Upload, source: str, target: UploadState, actor: str, reason: str = "") -> None:
    states = {"state": str(source)}, {"state": str(target)}
    audit_record(
        actor=actor, action="upload.transition", target=upload, reason=reason, before=states[0], after=states[1]
    )


def _complete(upload: Upload) -> bool:
    now = timezone.now()
    rows = Upload.objects.filter(id=upload.id, state=UploadState.CHECKING)
    changed = rows.update(state=UploadState.COMPLETE, expires_at=policies.finished_until(now), updated_at=now)
    if changed:
        _moved(upload, UploadState.CHECKING, UploadState.COMPLETE, "inspection")
    return bool(changed)


def _refuse(upload: Upload, problem: Problem) -> Upload:
    received = files.part_length(upload.id) or 0
    with audited():
        changed = Upload.objects.filter(id=upload.id, state__in=OPEN).update(
            state=UploadState.REFUSED, problems=[problem], received=received, updated_at=timezone.now()
        )
        if changed:
            _moved(upload, upload.state, UploadState.REFUSED, "inspection", problem["problem"])
    files.part_remove(upload.id)
    upload.refresh_from_db()
    return upload


def _drop(upload: Upload, reason: str, *, actor: str = "reaper", before: datetime | None = None) -> int:
    """The row first: no row may say that bytes are there which are not. `before`: only if it expired before this."""
    received = selectors.upload_offset(upload)
    remedy = "start a new upload"
    with files.folder_lock():
        with audited():
            rows = Upload.objects.filter(id=upload.id, state=upload.state)
            if before is not None:
                rows = rows.filter(expires_at__lt=before)  # a submission may have claimed it in this moment
            changed = rows.update(
                state=UploadState.REMOVED,
                received=received,
                problems=[problem_make("upload", upload.id, reason, remedy)],
                updated_at=timezone.now(),
            )
            if changed:
                _moved(upload, upload.state, UploadState.REMOVED, actor, reason)
        if changed:
            files.part_remove(upload.id)
            if upload.state == UploadState.COMPLETE and not selectors.archive_is_shared(upload):
                files.archive_remove(upload.sha256)
    return changed


def _orphans_remove(now: datetime) -> int:
    """Files that a crash left without a row."""
    old = now.timestamp() - _ORPHAN_AGE_S
    folder, count = files.uploads_folder(), 0
    with files.folder_lock():  # rows and files are read in one state: both change under this lock
        held = list(Upload.objects.filter(state__in=HELD).values_list("id", "sha256"))
        ids, digests = {ident for ident, _ in held}, {digest for _, digest in held}
        found = [path for path in (folder / "incoming").iterdir() if path.name not in ids]
        found += [path for path in folder.glob("*.tar") if path.stem not in digests]
        for path in found:
            if path.stat().st_mtime < old:
                path.unlink(missing_ok=True)
                count += 1
    return count


def _offset_moved(offset: int, there: int) -> Conflict:
    remedy = "ask for the offset with HEAD and go on from there"
    return Conflict([problem_make("Upload-Offset", offset, f"is not where the upload ends: {there}", remedy)])


def _gone(upload: Upload) -> Gone:
    told = upload.problems or [problem_make("upload", upload.id, "is gone", "start a new upload")]
    return Gone(told)
