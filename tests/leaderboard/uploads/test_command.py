"""`palimpsest upload` and `submit --archive`, as processes, against a real server."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from knox.models import AuthToken

from leaderboard.accounts.models import User
from leaderboard.benchmarks.models import Release
from leaderboard.methods.models import Submission
from leaderboard.uploads import files
from leaderboard.uploads.models import Upload, UploadState
from leaderboard.uploads.services import upload_finish
from tests.leaderboard.test_cli import MANIFEST, Shell
from tests.leaderboard.uploads.conftest import archive_make

pytestmark = pytest.mark.django_db(transaction=True)
PIECE = 8 * 1024 * 1024


@pytest.fixture
def shell(tmp_path: Path, live_server: Any, user: User) -> Shell:
    """Signed in."""
    home = tmp_path / "home"
    for folder in (home / "method", home / ".config" / "palimpsest"):
        folder.mkdir(parents=True)
    (home / "method" / "method.toml").write_text(MANIFEST)
    config = f'url = "{live_server.url}"\ntoken = "{AuthToken.objects.create(user)[1]}"\n'
    (home / ".config" / "palimpsest" / "config.toml").write_text(config)
    return Shell(home, live_server.url)


@pytest.fixture
def finisher() -> Iterator[None]:
    """Stands for the worker: hashes what is complete."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.05):
            for ident in Upload.objects.filter(state=UploadState.CHECKING).values_list("id", flat=True):
                upload_finish(upload_id=ident)
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


def test_an_archive_is_uploaded_and_submitted_in_one_command(shell: Shell, public: Release, finisher: None) -> None:
    data = archive_make(size=PIECE + 500_000)
    (shell.home / "image.tar").write_bytes(data)
    shell("submit", "method", "--archive", "image.tar", "-b", public.slug)
    upload = Upload.objects.get()
    assert Submission.objects.get().image == upload.image
    assert files.archive_path(upload.sha256).read_bytes() == data
    again = shell("upload", "image.tar")
    assert again.stdout.strip() == upload.image
    assert Upload.objects.count() == 1, "what is there is not sent again"


def test_after_kill_9_the_same_command_goes_on_where_it_was(shell: Shell, public: Release, finisher: None) -> None:
    data = archive_make(size=6 * PIECE)
    (shell.home / "image.tar").write_bytes(data)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(shell.home),
        "PALIMPSEST_URL": shell.url,
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    command = [sys.executable, "-m", "evaluator.cli.palimpsest", "upload", "image.tar"]
    first = subprocess.Popen(command, env=environment, cwd=shell.home, stderr=subprocess.DEVNULL)
    while not Upload.objects.filter(received__gte=PIECE).exists():
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.wait()
    upload = Upload.objects.get()
    assert PIECE <= upload.received < len(data)
    assert shell("upload", "image.tar").stdout.startswith("archive@")
    assert Upload.objects.get().pk == upload.pk
    assert files.archive_path(Upload.objects.get().sha256).read_bytes() == data


def test_what_is_no_archive_is_told_before_anything_is_sent(shell: Shell) -> None:
    (shell.home / "image.tar.gz").write_bytes(gzip.compress(archive_make()))
    done = shell("upload", "image.tar.gz", code=1, PALIMPSEST_URL="http://127.0.0.1:9")
    assert "is packed with gzip" in done.stderr
    assert "gunzip" in done.stderr
    assert "cannot be read" in shell("upload", "nothing.tar", code=1).stderr


def test_a_wrong_benchmark_is_told_before_the_archive_is_sent(shell: Shell, public: Release) -> None:
    (shell.home / "image.tar").write_bytes(archive_make())
    done = shell("submit", "method", "--archive", "image.tar", "-b", "toy-wrld", code=1)
    assert "toy-wrld" in done.stderr
    assert not Upload.objects.exists()


def test_an_image_is_named_once(shell: Shell) -> None:
    both = shell("submit", "method", "--archive", "x.tar", "--image", "a.b/c:d", "-b", "x", code=1)
    assert "give one of the two" in both.stderr
    assert "--archive FILE" in shell("submit", "method", "-b", "x", code=1).stderr
    assert "HOST/NAME:TAG" in shell("submit", "method", "--image", "c:d", "-b", "x", code=1).stderr


def test_the_caps_of_the_site_are_told_with_their_remedy(shell: Shell, settings: Any) -> None:
    settings.UPLOAD_MAX_MB = 0
    (shell.home / "image.tar").write_bytes(archive_make())
    done = shell("upload", "image.tar", code=1)
    assert "over the cap" in done.stderr
    assert "registry" in done.stderr
