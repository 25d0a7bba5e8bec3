"""The `palimpsest` command, as a process, against a real server."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from leaderboard.audit.models import AuditEntry
from leaderboard.benchmarks.models import Release
from leaderboard.boards.services import board_publish
from leaderboard.methods.models import Method, Submission
from leaderboard.runs.models import Run, Worker
from leaderboard.submissions.inspect import submission_inspect
from leaderboard.worker import execute as worker
from tests.leaderboard.conftest import Submit, digest_make

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).parents[2]
MANIFEST = """
contract = 1
name = "Gradient difference"
version = "1"
kind = "unlearning"
division = "weights"
authors = ["A. Author"]
"""


class Shell:
    """Runs `palimpsest` with a home of its own."""

    def __init__(self, home: Path, url: str) -> None:
        self.home, self.url = home, url

    def __call__(self, *arguments: str, code: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "COLUMNS": "200",
            "PALIMPSEST_URL": self.url,
            "PYTHONPATH": str(ROOT),
            **env,
        }
        command = [sys.executable, "-m", "evaluator.cli.palimpsest", *arguments]
        done = subprocess.run(command, env=environment, cwd=self.home, text=True, capture_output=True, timeout=60)
        assert done.returncode == code, done.stdout + done.stderr
        return done


@pytest.fixture
def shell(tmp_path: Path, live_server: Any, user: Any) -> Shell:
    home = tmp_path / "home"
    (home / "method").mkdir(parents=True)
    (home / "method" / "method.toml").write_text(MANIFEST)
    return Shell(home, live_server.url)


@pytest.fixture
def signed_in(shell: Shell) -> Shell:
    shell("login", "--username", "ada", PALIMPSEST_PASSWORD="correct horse battery")
    return shell


def test_login_keeps_a_token_that_only_its_owner_reads(signed_in: Shell) -> None:
    path = signed_in.home / ".config" / "palimpsest" / "config.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert signed_in.url in path.read_text()
    signed_in("logout")
    assert 'token = ""' in path.read_text()


def test_a_wrong_password_names_the_remedy(shell: Shell) -> None:
    done = shell("login", "--username", "ada", code=1, PALIMPSEST_PASSWORD="wrong")
    assert "do not match an active account" in done.stderr


def test_submit_status_board_and_traces(signed_in: Shell, public: Release) -> None:
    done = signed_in("submit", "method", "--image", digest_make(), "--benchmark", public.slug, "--no-tryout")
    submission = Submission.objects.get()
    assert submission.id in done.stdout
    assert submission.tryout is False
    submission_inspect(submission_id=submission.id)
    run = submission.runs.get()
    assert "place in the queue: 1" in signed_in("status", run.id).stdout
    worker.work_until_empty()
    board_publish(release_slug=public.slug)
    assert "SCORED" in signed_in("status", submission.id, "--watch").stdout
    assert "0.12" in signed_in("status", run.id).stdout
    now = timezone.now()
    Worker.objects.create(name="worker:one:1", host="one", started_at=now, seen_at=now)
    signed_in("submit", "method", "--image", digest_make(2), "--benchmark", public.slug, "--no-tryout")
    second = Submission.objects.exclude(id=submission.id).get()
    submission_inspect(submission_id=second.id)
    waiting = signed_in("status", second.runs.get().id).stdout
    assert "place in the queue: 1, expected to start within a minute" in waiting
    assert "Gradient difference" in signed_in("board", public.slug).stdout
    assert json.loads(signed_in("board", public.slug, "--json").stdout)["board"] == public.slug
    cited = signed_in("board", public.slug, "--markdown").stdout
    receipt = Client().get(f"/runs/{run.id}/receipt.json").content
    assert f"`{hashlib.sha256(receipt).hexdigest()[:12]}` |" in cited
    assert "| Gradient difference 1 |" in cited
    assert "3 probes, in full" in signed_in("traces", run.id).stdout
    assert (signed_in.home / f"{run.id}.parquet").read_bytes()[:4] == b"PAR1"
    signed_in("traces", run.id, "-o", "t.jsonl.gz")
    lines = gzip.decompress((signed_in.home / "t.jsonl.gz").read_bytes()).decode().splitlines()
    assert json.loads(lines[0])["prompt"] == "Who wrote Hamlet?"


def test_waiting_ends_with_3_when_a_run_is_not_scored(signed_in: Shell, public: Release, submit: Submit) -> None:
    run = submit(public, hparams={"behaviour": "method-error-unlearning"}).runs.get()
    worker.work_until_empty()
    done = signed_in("status", run.submission_id, "--watch", code=3)
    assert "FAILED_METHOD" in done.stdout
    assert "Traceback" in done.stdout  # a public split: its submitter sees the output
    assert "has no trace" in signed_in("traces", run.id, code=1).stderr


def test_local_faults_are_told_before_anything_is_sent(shell: Shell) -> None:
    (shell.home / "method" / "method.toml").write_text(MANIFEST + 'colour = "red"\n')
    done = shell(
        "submit", "method", "--image", "latest", "--benchmark", "x", code=1, PALIMPSEST_URL="http://127.0.0.1:9"
    )
    assert "colour" in done.stderr
    assert "is not a reference to an image" in done.stderr
    assert "cannot be reached" not in done.stderr


def test_the_sites_problems_are_printed_with_their_remedies(signed_in: Shell, public: Release) -> None:
    done = signed_in("submit", "method", "--image", digest_make(), "--benchmark", "toy-wrld", code=1)
    assert "toy-wrld" in done.stderr
    assert public.slug in done.stderr


def test_no_token_and_no_site(shell: Shell, public: Release) -> None:
    done = shell("submit", "method", "--image", digest_make(), "--benchmark", public.slug, code=1)
    assert "palimpsest login" in done.stderr
    assert "cannot be reached" in shell("board", "x", code=1, PALIMPSEST_URL="http://127.0.0.1:9").stderr


def test_a_stored_token_is_not_sent_to_another_site(signed_in: Shell, public: Release) -> None:
    other = signed_in.url.replace("localhost", "127.0.0.1")
    done = signed_in("submit", "method", "--image", digest_make(), "-b", public.slug, "--url", other, code=1)
    assert "token" in done.stderr


def test_the_command_imports_neither_django_nor_torch() -> None:
    code = "import sys, evaluator.cli.palimpsest.app as _; print({'django', 'torch', 'transformers'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_log_is_printed_to_whom_the_site_shows_it(
    signed_in: Shell, public: Release, hidden: Release, submit: Submit, organiser: Any
) -> None:
    mine, secret = submit(public).runs.get(), submit(hidden, version="2").runs.get()
    worker.work_until_empty()
    assert signed_in("log", mine.id).stdout == "the method says hello\n"
    assert "shows you no log" in signed_in("log", secret.id, code=1).stderr
    assert not AuditEntry.objects.filter(action="run.look").exists()
    signed_in("login", "--username", "olga", PALIMPSEST_PASSWORD="correct horse battery")
    assert signed_in("log", secret.id).stdout == "the method says hello\n"
    assert AuditEntry.objects.get(action="run.look").actor == "user:olga"


def test_nothing_that_a_terminal_obeys_is_printed(signed_in: Shell, public: Release, submit: Submit) -> None:
    """Titles, colours, the clipboard, a cleared screen, 8-bit controls, reordered lines, markup of our own."""
    evil = "\x1b[2J\x1b]0;title\x07\x1b]52;c;Y2xpcA==\x07\x9b31m\x85\u202edesrever[bold red]x[/] \x08end"
    run = submit(public, name="Nice [bold red]x[/]").runs.get()
    worker.work_until_empty()
    failed = {"log_tail": evil, "detail": evil, "message": evil[:200], "reason": evil[:200], "state": "FAILED_METHOD"}
    Run.objects.filter(id=run.id).update(failure_code="method_error", **failed)
    Method.objects.update(name=evil[:80])
    for command in (("log", run.id), ("status", run.id), ("status", run.submission_id)):
        said = signed_in(*command).stdout
        assert "desrever[bold red]x[/]" in said or command[1] == run.submission_id
        assert [c for c in said if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160 or c == "\u202e")] == [], command
