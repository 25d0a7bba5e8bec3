"""The backends with podman: root, no network, nothing writable without a size; under runc, or under gVisor's runsc."""

from __future__ import annotations

from pathlib import Path

from evaluator.sandbox.engine_commands.base import RUNC, Runtime
from evaluator.sandbox.engine_commands.podman import RUNSC, PodmanEngine
from evaluator.sandbox.engines.lifecycle import EngineSandbox
from evaluator.sandbox.images.bounded_store import BoundedStore
from evaluator.sandbox.images.submitted import Images


class PodmanSandbox(EngineSandbox):
    """See `protocol.Sandbox`. `home` is the data folder; containers of other data folders are never touched."""

    name = "podman"
    isolation = "container: user namespace, no network, read-only root, seccomp, cgroup limits"
    runtime: Runtime = RUNC
    images: Images[BoundedStore]

    def __init__(self, home: Path) -> None:
        engine = PodmanEngine(home, runtime=self.runtime)
        super().__init__(engine, BoundedStore(home, self.runtime))


class RunscSandbox(PodmanSandbox):
    """The same under gVisor: a method's system calls meet a kernel in user space before this machine's.

    The count of processes is that of the sandbox's own threads on this machine, and at least `RUNSC.least_pids`.
    """

    name = "podman-runsc"
    isolation = "gVisor in a container: own kernel, user namespace, no network, read-only root, seccomp, cgroup limits"
    runtime = RUNSC
