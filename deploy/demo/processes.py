"""Keeps the demo's long-lived processes alive, and takes every one of them down with it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
BACKOFF_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
STEADY_S = 60.0  # alive for this long: the next fall starts the back-off anew
GRACE_S = 12.0

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Runs in the child: asks the kernel for SIGTERM when the parent dies, however it dies."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass(frozen=True)
class Service:
    """One process that has to be there as long as the demo runs."""

    name: str
    command: Sequence[str]
    log: Path


class Supervisor:
    """Starts services, restarts the ones that fall (with a growing pause), stops all of them.

    It must be used from the main thread only: the kernel ties a child's life to the *thread* that started it.
    """

    def __init__(self, *, cwd: Path, environment: Mapping[str, str], say: Callable[[str], None]) -> None:
        self._cwd = cwd
        self._environment = dict(environment)
        self._say = say
        self._running: dict[str, _Running] = {}

    def start(self, service: Service) -> None:
        service.log.parent.mkdir(parents=True, exist_ok=True)
        self._running[service.name] = _Running(service, self._spawn(service))

    def tick(self) -> None:
        """Looks after every service once; call it about once a second."""
        now = time.monotonic()
        for running in self._running.values():
            status = running.process.poll()
            if status is None:
                continue
            if running.restart_at is None:
                if now - running.since > STEADY_S:
                    running.falls = 0
                pause = BACKOFF_S[min(running.falls, len(BACKOFF_S) - 1)]
                running.falls += 1
                running.restart_at = now + pause
                self._say(
                    f"the {running.service.name} stopped ({_status_words(status)}); "
                    f"starting it again in {pause:.0f} s. Its log: {running.service.log}"
                )
            elif now >= running.restart_at:
                _group_signal(running.process, signal.SIGKILL)  # whatever the dead leader left behind
                running.process = self._spawn(running.service)
                running.since, running.restart_at = now, None

    def alive(self, name: str) -> bool:
        return name in self._running and self._running[name].process.poll() is None

    def stop(self) -> None:
        """Asks all to end, waits, then insists. Returns when none is left."""
        for running in self._running.values():
            _group_signal(running.process, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_S
        for running in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.process.wait(timeout=max(0.0, deadline - time.monotonic()))
            _group_signal(running.process, signal.SIGKILL)
            running.process.wait()
        self._running.clear()

    def _spawn(self, service: Service) -> subprocess.Popen[bytes]:
        with service.log.open("ab") as log:
            return subprocess.Popen(
                service.command,
                cwd=self._cwd,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Its own session: Ctrl-C reaches only the demo, which then ends its services in order.
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - the demo has one thread
            )


class _Running:
    def __init__(self, service: Service, process: subprocess.Popen[bytes]) -> None:
        self.service = service
        self.process = process
        self.since = time.monotonic()
        self.falls = 0
        self.restart_at: float | None = None


def _group_signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _status_words(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
