"""What a sandbox backend does, apart from how: run a method once, serve its result, sweep up after a crash."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from evaluator.contract import FailureCode, Limits, Manifest

Role = Literal["unlearn", "serve"]


@dataclass(frozen=True)
class Mount:
    """A host path shown to the container, read-only unless said otherwise."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class ContainerSpec:
    """Everything that one container gets; nothing else reaches it."""

    run_id: str
    role: Role
    image: str
    args: tuple[str, ...]
    mounts: tuple[Mount, ...]
    env: Mapping[str, str]
    limits: Limits
    threads: int = 2


@dataclass(frozen=True)
class ImageReport:
    """The outcome of an inspection. `problems` holds every reason at once: {field, value, problem, remedy}."""

    ok: bool
    image_id: str
    image: str = ""  # the reference to run and record: of a tag the digest that it stood for, else what was given
    problems: tuple[Mapping[str, str], ...] = ()
    size_bytes: int = 0
    user: str = ""
    architecture: str = ""


@dataclass(frozen=True)
class ContainerExit:
    """How an `unlearn` container ended. `failure` is None exactly when it exited 0 within its limits."""

    code: int
    wall_s: float
    peak_mb: float | None
    failure: FailureCode | None
    detail: str  # the last output and the reason: for organisers, and for the submitter on a public split
    out_dir: Path  # what the container wrote: untrusted, valid until the context closes
    killed_from_outside: bool = False  # or by itself in just that way: nobody can tell, see `Container.failure`


class Server(Protocol):
    """A running `serve` container. `lost` says why its end was the platform's fault; it is empty when it was not."""

    socket: Path

    def alive(self) -> bool: ...

    def lost(self) -> str: ...

    def log_tail(self) -> str: ...


@dataclass(frozen=True)
class Progressed:
    """One `{"progress": …, "stage": …}` line of a method."""

    fraction: float
    stage: str


ProgressCallback = Callable[[Progressed], None]


def ignore_progress(_: Progressed) -> None:
    return None


class Sandbox(Protocol):
    """A backend. What is not the method's doing is raised, as `EvaluationFailed(platform_error | image_…)`."""

    name: str

    def check(self) -> list[str]:
        """What is missing on this machine, as sentences; empty when ready."""
        ...

    def inspect(self, image: str, manifest: Manifest) -> ImageReport:
        """Look at an image without running it; pull it first when it is a registry reference by digest."""
        ...

    def unlearn(
        self, spec: ContainerSpec, *, scratch: Path, log: Path, on_progress: ProgressCallback = ignore_progress
    ) -> AbstractContextManager[ContainerExit]:
        """Run to the end with a fresh, size-capped /out; the context keeps `out_dir` readable until it closes."""
        ...

    def serve(
        self, spec: ContainerSpec, *, scratch: Path, log: Path, ready_s: float = 120.0
    ) -> AbstractContextManager[Server]:
        """Start a server and wait for GET /health; raises `EvaluationFailed(server_not_ready)`."""
        ...

    def sweep(self, run_id: str | None = None) -> int:
        """Remove what a crash left (of one run, or of all that are past their deadline); how many things it was."""
        ...

    def describe(self) -> dict[str, str]:
        """Engine, runtime and versions, for the receipt."""
        ...


@dataclass
class ServerHandle:
    """The plain form of `Server` that the backends return."""

    socket: Path
    is_alive: Callable[[], bool]
    tail: Callable[[], str]
    extra: dict[str, str] = field(default_factory=dict)
    why_lost: Callable[[], str] = str

    def alive(self) -> bool:
        return self.is_alive()

    def lost(self) -> str:
        return self.why_lost()

    def log_tail(self) -> str:
        return self.tail()
