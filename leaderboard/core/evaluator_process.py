"""Starts the evaluator as a process of its own: its own process group, a clean environment, real time limits."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

#: What an evaluator may know of the worker's environment; no site secret is among it.
_ENV_KEPT = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "TZ",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "VIRTUAL_ENV",
    "CONTAINERS_CONF",
    "CONTAINERS_STORAGE_CONF",
    "CONTAINERS_REGISTRIES_CONF",
    "DOCKER_HOST",
    "CUDA_VISIBLE_DEVICES",
    "LD_LIBRARY_PATH",
    "HF_HUB_OFFLINE",
    "HF_HOME",
    "TOKENIZERS_PARALLELISM",
    "PYTHONPATH",
    "KUBECONFIG",
]

#: Settings of the evaluator itself; no token of the command-line client.
_ENV_TUNING = (
    "PALIMPSEST_IMAGE_STORE_MB",
    "PALIMPSEST_LOCAL_REGISTRY",
    "PALIMPSEST_MAX_IMAGE_MB",
    "PALIMPSEST_REGISTRIES",
    "PALIMPSEST_RELEASES",
    "PALIMPSEST_SERVER_IN_FLIGHT",
)

#: Where in a Kubernetes cluster methods run.
_ENV_CLUSTER = ("PALIMPSEST_K8S_", "KUBERNETES_SERVICE_")


@dataclass(frozen=True)
class Answer:
    """How a short evaluator command ended. `code` is None when it ran past its limit."""

    code: int | None
    stdout: str
    stderr: str


def evaluator_env() -> dict[str, str]:
    """The environment of every evaluator process."""
    env = {name: os.environ[name] for name in _ENV_KEPT if name in os.environ}
    env |= {name: os.environ[name] for name in _ENV_TUNING if name in os.environ}
    env |= {name: value for name, value in os.environ.items() if name.startswith(_ENV_CLUSTER)}
    env["PALIMPSEST_HOME"] = str(settings.PALIMPSEST_HOME)
    env["PYTHONUNBUFFERED"] = "1"
    env.setdefault("HF_HUB_OFFLINE", "1")
    env["OMP_NUM_THREADS"] = str(settings.EVALUATOR_THREADS)
    return env


def evaluator_start(arguments: Sequence[str], *, log: Path) -> subprocess.Popen[bytes]:
    """Start a long command in its own process group; its output goes to the end of `log`."""
    with log.open("ab") as handle:
        return subprocess.Popen(
            [*settings.EVALUATOR_COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=subprocess.STDOUT,
            cwd=settings.EVALUATOR_DIR,
            env=evaluator_env(),
            start_new_session=True,
        )


def evaluator_call(arguments: Sequence[str], *, wall_s: float, beat: Callable[[], object] = int) -> Answer:
    """Run a short command to its end; its whole group is killed past `wall_s` seconds.

    `beat` is called every `RUN_HEARTBEAT_S` seconds meanwhile, to say that somebody is still at it.
    """
    process = subprocess.Popen(
        [*settings.EVALUATOR_COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=settings.EVALUATOR_DIR,
        env=evaluator_env(),
        start_new_session=True,
        text=True,
        errors="replace",
    )
    ends = time.monotonic() + wall_s
    while (left := ends - time.monotonic()) > 0:
        try:
            out, err = process.communicate(timeout=min(left, settings.RUN_HEARTBEAT_S))
        except subprocess.TimeoutExpired:
            beat()
        else:
            return Answer(process.returncode, out, err)
    group_stop(process, grace_s=settings.RUN_KILL_GRACE_S)
    out, err = process.communicate()
    return Answer(None, out, err)


def group_stop(process: subprocess.Popen[bytes] | subprocess.Popen[str], *, grace_s: float) -> None:
    """SIGTERM to the process group, SIGKILL after `grace_s` seconds; returns when the leader is gone."""
    _signal(process.pid, signal.SIGTERM)
    ends = time.monotonic() + grace_s
    while process.poll() is None and time.monotonic() < ends:
        time.sleep(0.05)
    _signal(process.pid, signal.SIGKILL)  # the leader, and whatever it left in its group
    process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass
