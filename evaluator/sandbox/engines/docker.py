"""The backend with docker: the same walls as podman's, as far as a daemon that serves everyone gives them."""

from __future__ import annotations

from pathlib import Path

from evaluator.sandbox.engine_commands.docker import DockerEngine
from evaluator.sandbox.engines.lifecycle import EngineSandbox
from evaluator.sandbox.images.daemon_store import DaemonStore


class DockerSandbox(EngineSandbox):
    """See `protocol.Sandbox`. `home` is the data folder; containers of other data folders are never touched."""

    name = "docker"
    isolation = "container: no network, read-only root, seccomp, cgroup limits"

    def __init__(self, home: Path) -> None:
        engine = DockerEngine(home)
        super().__init__(engine, DaemonStore(engine))
