"""Where a method runs: one protocol, a backend with real isolation and one without any."""

from __future__ import annotations

from pathlib import Path

from evaluator.sandbox.podman import PodmanSandbox
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

BACKENDS: dict[str, type[PodmanSandbox] | type[ProcessSandbox]] = {"podman": PodmanSandbox, "process": ProcessSandbox}


def sandbox_for(name: str, home: Path) -> Sandbox:
    """The backend of that name with its files under the data folder `home`. Raises `ValueError` if there is none."""
    if name not in BACKENDS:
        raise ValueError(f"backend {name!r} is not known: use one of {', '.join(sorted(BACKENDS))}")
    return BACKENDS[name](home)


__all__ = [
    "BACKENDS",
    "ContainerExit",
    "ContainerSpec",
    "ImageReport",
    "Mount",
    "PodmanSandbox",
    "ProcessSandbox",
    "ProgressCallback",
    "Progressed",
    "Role",
    "Sandbox",
    "Server",
    "ServerHandle",
    "ignore_progress",
    "sandbox_for",
]
