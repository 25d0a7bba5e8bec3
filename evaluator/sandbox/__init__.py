"""Where a method runs: one protocol, backends with real isolation and one without any."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evaluator.sandbox.engine_commands.base import ContainerEngine
from evaluator.sandbox.engines.docker import DockerSandbox
from evaluator.sandbox.engines.lifecycle import EngineSandbox
from evaluator.sandbox.engines.podman import PodmanSandbox, RunscSandbox
from evaluator.sandbox.kubernetes.backend import KubernetesSandbox
from evaluator.sandbox.process import ProcessSandbox
from evaluator.sandbox.protocol import (
    ContainerExit,
    ContainerSpec,
    ImageReport,
    Mount,
    ProgressCallback,
    Progressed,
    Role,
    Sandbox,
    Server,
    ServerHandle,
    ignore_progress,
)

BACKENDS: dict[str, Callable[[Path], Sandbox]] = {
    "podman": PodmanSandbox,
    "podman-runsc": RunscSandbox,
    "docker": DockerSandbox,
    "kubernetes": KubernetesSandbox,
    "process": ProcessSandbox,
}


def sandbox_for(name: str, home: Path) -> Sandbox:
    """The backend of that name with its files under the data folder `home`. Raises `ValueError` if there is none."""
    if name not in BACKENDS:
        raise ValueError(f"backend {name!r} is not known: use one of {', '.join(sorted(BACKENDS))}")
    return BACKENDS[name](home)


def engine_for(name: str, home: Path) -> ContainerEngine:
    """The engine that holds a backend's images. Raises `ValueError` for a backend whose images lie elsewhere."""
    sandbox = sandbox_for(name, home)
    if not isinstance(sandbox, EngineSandbox):
        kept = [key for key, kind in BACKENDS.items() if isinstance(kind, type) and issubclass(kind, EngineSandbox)]
        raise ValueError(f"backend: {name} has no images on this machine: use one of {', '.join(kept)}")
    return sandbox.engine


__all__ = [
    "BACKENDS",
    "ContainerExit",
    "ContainerSpec",
    "DockerSandbox",
    "ImageReport",
    "KubernetesSandbox",
    "Mount",
    "PodmanSandbox",
    "ProcessSandbox",
    "ProgressCallback",
    "Progressed",
    "Role",
    "RunscSandbox",
    "Sandbox",
    "Server",
    "ServerHandle",
    "engine_for",
    "ignore_progress",
    "sandbox_for",
]
