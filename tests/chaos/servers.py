"""A PostgreSQL and a Redis of a test's own, started by hand on unix sockets, to be cut off, killed and restarted."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
import redis


def _postgres_programs() -> Path:
    """Debian keeps them off the path, by version; the newest counts."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    at = found[-1] if found else shutil.which("initdb")
    assert at, "PostgreSQL is not installed: `make install` brings it"
    return Path(at).parent


class Postgres:
    """One server in a folder of its own. It refuses to run as root, so there it runs as its own user."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="palimpsest-pg-"))
        self.programs = _postgres_programs()
        self.user: str | None = "postgres" if os.geteuid() == 0 else None
        if self.user:
            account = pwd.getpwnam(self.user)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        self._call("initdb", "-D", self.data, "-A", "trust", "-U", "site", "-E", "UTF8", "--no-sync")
        self.start()

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    def _call(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self.programs / program), *arguments],
            user=self.user,
            group=self.user,
            extra_groups=[] if self.user else None,
            cwd="/",
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=60,
        )

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off"
        self._call("pg_ctl", "-D", self.data, "-l", str(self.folder / "log"), "-w", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self._call("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    def restart(self) -> None:
        """As after a crash: every connection is cut, the log is replayed."""
        self.stop()
        self.start()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def url(self, database: str) -> str:
        return f"postgres://site@/{database}?host={self.folder}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[dict[str, Any]]:
        return psycopg.connect(
            host=str(self.folder), user="site", dbname=database, autocommit=True, row_factory=psycopg.rows.dict_row
        )

    def create(self, database: str, template: str = "template1") -> None:
        with self.connect() as link:
            link.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
            # A copied sequence believes that its next 32 numbers are in the log already, where they are not: after a
            # crash it would give them out again. Past a checkpoint it logs them.
            link.execute("CHECKPOINT")

    def connections_cut(self, database: str) -> int:
        """`pg_terminate_backend` of everybody else's connection to a database; how many."""
        with self.connect() as link:
            found = link.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
                [database],
            )
            return len(found.fetchall())

    def waiting_for_a_lock(self, database: str) -> list[int]:
        """Process ids of the connections that wait for somebody's lock."""
        with self.connect() as link:
            found = link.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'", [database]
            )
            return [row["pid"] for row in found.fetchall()]


class Redis:
    """One server that keeps nothing: what was in it is lost when it dies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis+socket://{self.socket}"

    def start(self) -> None:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        assert program, "Redis is not installed: `make install` brings it"
        command = f"{program} --port 0 --unixsocket {self.socket} --save '' --appendonly no --dir {self.folder}"
        log = (self.folder / "redis.log").open("ab")
        self._process = subprocess.Popen(command.replace("''", "").split(" "), stdout=log, stderr=log)
        log.close()
        ends = time.monotonic() + 20
        while True:
            try:
                self.client().ping()
                return
            except redis.ConnectionError:
                assert time.monotonic() < ends, (self.folder / "redis.log").read_text()
                time.sleep(0.05)

    def kill(self) -> None:
        """`kill -9`: every message in it is lost."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.socket))
