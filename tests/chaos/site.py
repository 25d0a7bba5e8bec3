"""A whole site for one test: its own data folder, real worker processes, and eyes on its database."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

_SUBMIT = """
import json, sys
from leaderboard.accounts.models import User
from leaderboard.submissions.create import submission_create
given = json.loads(sys.argv[1])
user, _ = User.objects.get_or_create(username="ada")
submission = submission_create(user=user, **given)
print(submission.id)
"""
_RING = """
import sys
from leaderboard.config.celery import app
for task, ident in zip(sys.argv[1::2], sys.argv[2::2]):
    app.send_task(task, args=[ident], ignore_result=True)
"""


class Site:
    """Drives the site as its operator would: `manage.py`, `celery worker`, signals."""

    settings = "embedded"

    def __init__(self, home: Path, **env: str) -> None:
        self.home = home
        keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        self.env = keep | {
            "PALIMPSEST_HOME": str(home),
            "DJANGO_SETTINGS_MODULE": f"leaderboard.config.settings.{self.settings}",
            "PYTHONPATH": str(ROOT),
            "RUN_BACKOFF_S": "0.5",
            "BOARD_RESAMPLES": "200",
            **env,
        }
        self.started: list[subprocess.Popen[bytes]] = []
        if not self.is_made():
            self.make()

    def is_made(self) -> bool:
        return (self.home / "db.sqlite3").exists()

    def make(self) -> None:
        self.python("manage.py", "migrate", "--no-input", "-v0")
        self.python("manage.py", "release_import")

    def python(self, *arguments: str, stdin: str | None = None, within_s: float = 120) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.env,
            input=stdin,
            text=True,
            capture_output=True,
            timeout=within_s,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def submit(self, **given: Any) -> str:
        """Submit in-process, as the API does; returns the submission's id."""
        code = f"import django; django.setup()\n{_SUBMIT}"
        return self.python("-c", code, json.dumps(given), within_s=60).strip().splitlines()[-1]

    def deliver(self, *messages: tuple[str, str]) -> None:
        """Deliver (task, id) messages, as a broker does that delivers again."""
        code = f"import django; django.setup()\n{_RING}"
        self.python("-c", code, *(word for message in messages for word in message))

    @property
    def worker(self) -> subprocess.Popen[bytes] | None:
        """The worker that was started last."""
        return self.started[-1] if self.started else None

    def worker_start(self, **env: str) -> subprocess.Popen[bytes]:
        log = (self.home / "worker.log").open("ab")
        command = "-m celery -A leaderboard.config worker -P threads -B -c 2 --without-gossip --without-mingle -l info"
        process = subprocess.Popen(
            [sys.executable, *command.split(), f"--schedule={self.home}/beat-{len(self.started)}"],
            cwd=ROOT,
            env=self.env | env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        self.started.append(process)
        return process

    def worker_kill(self) -> None:
        """`kill -9`, of the worker process only: its children must end by themselves."""
        assert self.worker is not None
        os.kill(self.worker.pid, signal.SIGKILL)
        self.worker.wait()

    def worker_stop(self) -> None:
        """An orderly stop, as systemd or Kubernetes ask for it."""
        assert self.worker is not None
        self.worker.send_signal(signal.SIGTERM)
        self.worker.wait(timeout=60)

    def workers(self) -> list[int]:
        """Ids of this site's worker and of its embedded beat."""
        mark = f"PALIMPSEST_HOME={self.home}".encode()
        found = []
        for pid in self.processes("leaderboard.config"):
            try:
                if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    found.append(pid)
            except OSError:
                continue
        return found

    def close(self) -> None:
        """`kill -9`, which costs no time: what it leaves ends by itself, as test_kill.py shows."""
        for worker in self.started:
            if worker.poll() is None:
                worker.kill()
                worker.wait()
        ends = time.monotonic() + 20
        while self.workers() or self.processes(f"{self.home}/runs"):
            assert time.monotonic() < ends, "a worker's children outlive it"
            time.sleep(0.05)

    def rows(self, query: str, *arguments: Any) -> list[Mapping[str, Any]]:
        link = sqlite3.connect(f"file:{self.home}/db.sqlite3?mode=ro", uri=True, timeout=20)
        link.row_factory = sqlite3.Row
        try:
            return link.execute(query, arguments).fetchall()
        finally:
            link.close()

    def run(self) -> Mapping[str, Any] | None:
        """The only run, or None before the inspection."""
        found = self.rows("select * from runs_run")
        return found[0] if found else None

    def run_now(self) -> Mapping[str, Any]:
        """The only run, which must be there."""
        run = self.run()
        assert run is not None
        return run

    def state(self) -> str:
        run = self.run()
        return run["state"] if run else ""

    def events(self) -> list[str]:
        return [row["to_state"] for row in self.rows("select to_state from runs_runevent order by id")]

    def log(self) -> str:
        path = self.home / "worker.log"
        return path.read_text() if path.exists() else ""

    def wait(self, reached: Callable[[], bool], *, within_s: float) -> None:
        """Wait until `reached()`; the failure shows what the worker said."""
        ends = time.monotonic() + within_s
        while not reached():
            if time.monotonic() > ends:
                run = self.run()
                found = dict(run) if run else None
                raise AssertionError(f"not reached within {within_s} s: {found}\n{self.log()[-6000:]}")
            time.sleep(0.05)

    def processes(self, text: str) -> list[int]:
        """Ids of the processes that have `text` in their command line."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                if text in command and int(folder.name) != os.getpid():
                    found.append(int(folder.name))
        return found
