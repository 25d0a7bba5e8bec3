"""How much may be uploaded, how long it stays, and what the reaper takes away."""

from __future__ import annotations

import os
import shutil
import time
from collections import namedtuple
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from leaderboard.accounts.models import User
from leaderboard.benchmarks.models import Release
from leaderboard.submissions.create import submission_create
from leaderboard.submissions.inspect import submission_inspect
from leaderboard.submissions.withdraw import submission_withdraw
from leaderboard.uploads import files
from leaderboard.uploads.models import Upload
from leaderboard.uploads.services import upload_finish, uploads_sweep
from leaderboard.worker.reaper import reap
from tests.leaderboard.conftest import manifest_make
from tests.leaderboard.uploads.conftest import Tus, archive_make

pytestmark = pytest.mark.django_db
DATA = archive_make()


def problem_of(answer: Any) -> dict[str, str]:
    (problem,) = answer.json()["errors"]
    return dict(problem)


def later(**delta: float) -> Any:
    return timezone.now() + timedelta(**delta)


def test_a_file_over_the_cap_is_refused_before_a_byte_is_sent(tus: Tus, settings: Any) -> None:
    settings.UPLOAD_MAX_MB = 1
    assert tus.create(1_000_000).status_code == 201
    answer = tus.create(1_000_001)
    assert answer.status_code == 413
    assert "1 MB" in problem_of(answer)["problem"]
    assert "registry" in problem_of(answer)["remedy"]


def test_a_person_has_so_many_open_uploads_and_no_more(tus: Tus, other: Tus, settings: Any) -> None:
    settings.UPLOADS_OPEN_PER_USER = 2
    first = tus.open(DATA)
    tus.open(DATA)
    answer = tus.create(len(DATA))
    assert answer.status_code == 429
    assert "discard it" in problem_of(answer)["remedy"]
    assert other.create(len(DATA)).status_code == 201
    tus.delete(first)
    assert tus.create(len(DATA)).status_code == 201


def test_the_bytes_of_a_day_are_counted_and_discarding_does_not_give_back_what_came(tus: Tus, settings: Any) -> None:
    settings.UPLOAD_MB_PER_DAY = 1
    big = archive_make(size=600_000)
    path = tus.open(big)
    tus.patch(path, big[:500_000], 0)
    assert tus.create(500_000).status_code == 429, "the whole is promised"
    tus.delete(path)
    answer = tus.create(600_000)
    assert answer.status_code == 429
    assert "0 MB that are left of 1 MB a day" in problem_of(answer)["problem"]
    assert tus.create(500_000).status_code == 201
    Upload.objects.update(created_at=later(hours=-25))
    assert tus.create(600_000).status_code == 201


def test_an_upload_that_would_fill_the_disk_is_a_507(tus: Tus, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, 3_000_000))
    settings.UPLOAD_DISK_RESERVE_MB = 1
    first = tus.open(bytes(1_500_000))
    answer = tus.create(600_000)
    assert answer.status_code == 507, "the first one was promised 1.5 of the 2 MB"
    assert problem_of(answer)["field"] == "size"
    tus.delete(first)
    assert tus.create(600_000).status_code == 201


def test_a_disk_that_fills_up_on_the_way_loses_nothing_that_was_acknowledged(
    tus: Tus, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tus.open(DATA)
    tus.patch(path, DATA[:7_000], 0)

    def full(descriptor: int, data: bytes, at: int) -> int:
        write(descriptor, data[:100], at)
        raise OSError(28, "No space left on device")

    write = os.pwrite
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        assert tus.patch(path, DATA[7_000:9_000], 7_000).status_code == 507
    assert tus.offset(path) == 7_000
    assert tus.patch(path, DATA[7_000:9_000], 7_000).status_code == 204


def test_an_unfinished_upload_expires_a_day_after_its_last_byte(tus: Tus) -> None:
    path = tus.open(DATA)
    Upload.objects.update(expires_at=later(hours=1))
    tus.patch(path, DATA[:7_000], 0)
    assert uploads_sweep(now=later(hours=23)) == 0
    assert uploads_sweep(now=later(hours=25)) == 1
    assert tus.patch(path, DATA[7_000:], 7_000).status_code == 410
    assert files.part_length(Upload.objects.get().id) is None


def test_one_that_trickles_expires_all_the_same(tus: Tus) -> None:
    path = tus.open(DATA)
    Upload.objects.update(created_at=later(days=-6, hours=-23))
    tus.patch(path, DATA[:7_000], 0)
    assert uploads_sweep(now=later(hours=2)) == 1


def test_a_finished_upload_stays_while_a_live_submission_names_it(tus: Tus, user: User, public: Release) -> None:
    path = tus.send(DATA)
    upload_finish(upload_id=Upload.objects.get().id)
    image = tus.state(path)["image"]
    submission = submission_create(user=user, image=image, manifest=manifest_make(), releases=[public.slug])
    submission_inspect(submission_id=submission.id)
    submission.refresh_from_db()
    answer = tus.delete(path)
    assert answer.status_code == 409
    assert submission.id in problem_of(answer)["problem"]
    assert uploads_sweep(now=later(days=30)) == 0
    submission_withdraw(submission=submission, user=user)
    assert uploads_sweep(now=later(days=6)) == 0
    assert uploads_sweep(now=later(days=8)) == 1
    assert list(files.uploads_folder().glob("*.tar")) == []


def test_the_reaper_sweeps_and_removes_files_that_no_row_knows(tus: Tus) -> None:
    kept = tus.open(DATA)
    folder = files.uploads_folder()
    lost = [folder / "incoming" / "ulost", folder / f"{'c' * 64}.tar"]
    fresh = folder / "incoming" / "ufresh"
    for path in (*lost, fresh):
        path.write_bytes(b"x")
    for path in (*lost, files.part_path(Upload.objects.get().id)):
        os.utime(path, (time.time() - 7_200,) * 2)
    assert reap()["uploads"] == 2
    assert [path.exists() for path in (*lost, fresh)] == [False, False, True]
    assert tus.offset(kept) == 0


def test_an_upload_whose_finish_was_lost_is_sent_for_again(tus: Tus, django_capture_on_commit_callbacks: Any) -> None:
    tus.send(DATA)
    with django_capture_on_commit_callbacks() as sent:
        uploads_sweep(now=later(seconds=60))
        uploads_sweep(now=later(seconds=61))
    assert len(sent) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_that_a_root_worker_made_first_belongs_to_the_web_servers_user(settings: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 10_000, 10_000)
    settings.PALIMPSEST_HOME = home
    uploads_sweep(now=timezone.now())
    made = [home / "uploads", *(home / "uploads").iterdir()]
    assert len(made) == 3
    assert {path.stat().st_uid for path in made} == {10_000}
