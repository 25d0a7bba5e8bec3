"""Finds out, before anything is built, whether the demo can run here; each refusal says what to do about it."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from pathlib import Path
from typing import IO

from deploy.demo.plan import DemoError, Plan

NEEDED_PROGRAMS = {
    "podman": ("podman", "runc", "skopeo"),
    "podman-runsc": ("podman", "runsc", "skopeo"),
    "docker": ("docker",),
}
NEEDED_GB = 6  # base model, image and its copy in podman's store, runs


def home_lock(home: Path) -> IO[str]:
    """Holds the data folder for this demo until the returned file is closed. Raises `DemoError`."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        handle = (home / "demo.lock").open("a+")
    except OSError as error:
        raise DemoError(
            f"PALIMPSEST_HOME={home} cannot be written ({error.strerror}): name a folder that you own"
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.seek(0)
        owner = handle.read().strip() or "unknown"
        handle.close()
        raise DemoError(
            f"another demo (process {owner}) already uses PALIMPSEST_HOME={home}: "
            "stop it, or set PALIMPSEST_HOME to another folder"
        ) from None
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def port_check(plan: Plan) -> None:
    """Raises `DemoError` when PORT cannot be bound."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", plan.port))
        except PermissionError:
            raise DemoError(
                f"PORT={plan.port} needs more rights: use one above 1023, e.g. PORT=8123 make demo"
            ) from None
        except OSError:
            raise DemoError(
                f"PORT={plan.port} is taken by another program: stop that one, or choose another, "
                f"e.g. PORT={plan.port + 1 if plan.port < 65535 else 8000} make demo"
            ) from None


def backend_check(plan: Plan) -> None:
    """Raises `DemoError` when methods cannot be run in containers here."""
    if plan.backend == "process":
        return
    ways = "or, to look around without any isolation, run: DEMO_BACKEND=process make demo"
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    missing = [name for name in NEEDED_PROGRAMS[plan.backend] if not shutil.which(name, path=path)]
    if missing:
        raise DemoError(
            f"methods run in containers, and this machine lacks {', '.join(missing)}. On Debian or Ubuntu: "
            f"apt-get install --no-install-recommends {' '.join(missing).replace('docker', 'docker.io')}; {ways}"
        )
    if os.geteuid() != 0:
        raise DemoError(
            "containers are started with enforced limits, which takes root here, and this is an ordinary user. "
            f"Run: sudo -E make demo; {ways}"
        )


def disk_check(plan: Plan) -> None:
    """Raises `DemoError` when the data folder has too little room for a first start."""
    free_gb = shutil.disk_usage(plan.home).free / 1e9
    if free_gb < NEEDED_GB and not (plan.home / "cards").is_dir():
        raise DemoError(
            f"PALIMPSEST_HOME={plan.home} has {free_gb:.1f} GB free and the demo needs about {NEEDED_GB} GB: "
            "make room, or set PALIMPSEST_HOME to a folder on a larger disk"
        )
