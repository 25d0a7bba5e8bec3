"""A whole site for one test: its own data folder, a real worker process, and eyes on its database."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

_SUBMIT = """
import json, sys
from leaderboard.accounts.models import User
from leaderboard.methods.services import submission_create
given = json.loads(sys.argv[1])
user, _ = User.objects.get_or_create(username="ada")
submission = submission_create(user=user, **given)
print(submission.id)
"""


class Site:
    """Drives the embedded site as its operator would: `manage.py`, `celery worker`, signals."""

    def __init__(self, home: Path, **env: str) -> None:
        self.home = home
        keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        self.env = keep | {
            "PALIMPSEST_HOME": str(home),
            "DJANGO_SETTINGS_MODULE": "leaderboard.config.settings.embedded",
            "PYTHONPATH": str(ROOT),
            "RUN_BACKOFF_S": "0.5",
            "BOARD_RESAMPLES": "200",
            **env,
        }
        self.worker: subprocess.Popen[bytes] | None = None
        if not (home / "db.sqlite3").exists():
            self.python("manage.py", "migrate", "--no-input", "-v0")
            self.python("manage.py", "release_import")

    def python(self, *arguments: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.env,
            input=stdin,
            text=True,
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def submit(self, **given: Any) -> str:
        """Submit in-process, as the API does; returns the submission's id."""
        code = f"import django; django.setup()\n{_SUBMIT}"
        return self.python("-c", code, json.dumps(given)).strip().splitlines()[-1]

    def worker_start(self) -> None:
        log = (self.home / "worker.log").open("ab")
        command = "-m celery -A leaderboard.config worker -P threads -B -c 2 --without-gossip --without-mingle -l info"
        self.worker = subprocess.Popen(
            [sys.executable, *command.split()], cwd=ROOT, env=self.env, stdout=log, stderr=log, start_new_session=True
        )
        log.close()

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
        if self.worker is not None and self.worker.poll() is None:
            self.worker.terminate()
            try:
                self.worker.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.worker.kill()
                self.worker.wait()

    def rows(self, query: str, *arguments: Any) -> list[sqlite3.Row]:
        link = sqlite3.connect(f"file:{self.home}/db.sqlite3?mode=ro", uri=True, timeout=20)
        link.row_factory = sqlite3.Row
        try:
            return link.execute(query, arguments).fetchall()
        finally:
            link.close()

    def run(self) -> sqlite3.Row | None:
        """The only run, or None before the inspection."""
        found = self.rows("select * from runs_run")
        return found[0] if found else None

    def state(self) -> str:
        run = self.run()
        return run["state"] if run else ""

    def events(self) -> list[str]:
        return [row["to_state"] for row in self.rows("select to_state from runs_runevent order by id")]

    def wait(self, reached: Callable[[], bool], *, within_s: float) -> None:
        """Wait until `reached()`; the failure shows what the worker said."""
        ends = time.monotonic() + within_s
        while not reached():
            if time.monotonic() > ends:
                run = self.run()
                said = (self.home / "worker.log").read_text()[-4000:] if (self.home / "worker.log").exists() else ""
                raise AssertionError(f"not reached within {within_s} s: {dict(run) if run else None}\n{said}")
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
