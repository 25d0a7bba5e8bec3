"""What every container engine shares: a command line, called as a child process, and how its answers are read."""

from __future__ import annotations

import json
import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evaluator.contract import EvaluationFailed, FailureCode, Limits
from evaluator.sandbox import flags
from evaluator.sandbox.admission import Problem
from evaluator.sandbox.protocol import ContainerSpec, Role


@dataclass(frozen=True)
class Runtime:
    """What an engine starts containers with."""

    name: str
    #: Its own options, for which podman has no place in a command: a script passes them.
    options: tuple[str, ...] = ()
    #: More of them for a server: what it runs with has a name of its own.
    serve_options: tuple[str, ...] = ()
    #: Fewer processes than it needs itself end it without a word.
    least_pids: int = 0

    def name_for(self, role: Role) -> str:
        return f"{self.name}-{role}" if role == "serve" and self.serve_options else self.name


RUNC = Runtime("runc")
#: Of the caller's environment the engine sees only these: nothing of ours can slip into a container.
PASSED_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "LANG", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE")


class EngineError(Exception):
    """A call of the engine that failed; `output` is what it printed."""

    def __init__(self, command: Sequence[str], code: int, output: str) -> None:
        self.code = code
        self.output = output.strip()
        super().__init__(f"`{' '.join(command[:3])} …` ended with {code}: {self.output[-2000:]}")

    def image_unknown(self) -> bool:
        """Whether the engine has no such image."""
        return "image not known" in self.output or "no such image" in self.output.lower()


@dataclass(frozen=True)
class ContainerEngine(ABC):
    """A container engine of this machine, with its own configuration under `home`/sandbox.

    `root`: a folder for images and containers of its own, instead of the machine's.
    """

    home: Path
    program: str = ""
    root: Path | None = None
    runtime: Runtime = RUNC
    _environment: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        environment = {name: os.environ[name] for name in PASSED_ENVIRONMENT if name in os.environ}
        environment.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        environment.setdefault("HOME", "/root")
        object.__setattr__(self, "_environment", environment | self.own_environment())

    # ------------------------------------------------------------ each engine's own

    @abstractmethod
    def own_environment(self) -> dict[str, str]:
        """Variables that lead the engine to its configuration."""

    @abstractmethod
    def profile(self) -> Path:
        """The system calls that a method may use, in the form that the runtime understands."""

    @abstractmethod
    def configuration_write(self) -> None:
        """Write what the engine reads, where it differs; atomic, so that two evaluators may start at once."""

    @abstractmethod
    def missing(self) -> list[str]:
        """What this machine lacks to run containers, as sentences; empty when ready."""

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """`engine` and `runtime` with their versions. Raises `EngineError`, `LookupError` or `TypeError`."""

    @abstractmethod
    def image_exists(self, reference: str) -> bool:
        """Whether the local store holds an image. Raises `EngineError` when the store itself is broken."""

    @abstractmethod
    def image_load(self, layout: Path, name: str) -> str:
        """Take over the image `name` of an OCI layout; the engine's ID of it."""

    @abstractmethod
    def create_arguments(self, spec: ContainerSpec, birth: flags.Birth) -> list[str]:
        """`create …` for one container."""

    @abstractmethod
    def flags_wrong(self, report: Mapping[str, Any], spec: ContainerSpec) -> list[str]:
        """Where `inspect` of a created container shows less than isolation needs; empty when all holds."""

    @abstractmethod
    def root_id(self, spec: ContainerSpec) -> int:
        """Which user of this machine the container's root is."""

    @abstractmethod
    def start_arguments(self, name: str) -> list[str]:
        """`start …`, whose output and status are the container's."""

    @abstractmethod
    def remove_arguments(self, *names: str) -> list[str]:
        """`rm …`, silent about containers that are gone already."""

    def image_wrong(self, report: Mapping[str, Any]) -> list[Problem]:
        """What this engine cannot run safely in an image, by `image inspect`; each {field, value, problem, remedy}."""
        return []

    def _places(self) -> list[str]:
        """Flags that lead to `root`."""
        return []

    # ------------------------------------------------------------ what every engine shares

    def command(self, *arguments: str) -> list[str]:
        return [self.program, *self._places(), *arguments]

    def environment(self) -> dict[str, str]:
        return dict(self._environment)

    def run(self, *arguments: str, timeout_s: float = 120.0, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Call the engine and wait. Raises `EngineError` on a non-zero status (if `check`), a timeout, or no engine."""
        done = self._call(self.command(*arguments), self._environment, timeout_s=timeout_s, check=check)
        out, err = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def tool(self, *command: str, timeout_s: float, temporary: Path | None = None) -> bytes:
        """What another program prints, called in the engine's environment. Raises `EngineError` like `run`.

        `temporary`: where it puts large temporary files.
        """
        environment = self._environment | ({"TMPDIR": str(temporary)} if temporary else {})
        return self._call(list(command), environment, timeout_s=timeout_s, check=True).stdout

    def _call(
        self, command: list[str], environment: dict[str, str], *, timeout_s: float, check: bool
    ) -> subprocess.CompletedProcess[bytes]:
        self.configuration_write()
        try:
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout_s,
                check=False,
            )
        except FileNotFoundError:
            raise EngineError(command, 127, f"{command[0]} is not installed") from None
        except subprocess.TimeoutExpired:
            raise EngineError(command, 124, f"no answer within {timeout_s:g} s") from None
        if check and done.returncode != 0:
            raise EngineError(command, done.returncode, (done.stderr or done.stdout).decode(errors="replace"))
        return done

    def json(self, *arguments: str, timeout_s: float = 60.0) -> Any:
        """Call the engine and parse what it prints. Raises `EngineError`."""
        done = self.run(*arguments, timeout_s=timeout_s)
        try:
            return json.loads(done.stdout or "null")
        except ValueError:
            raise EngineError(self.command(*arguments), 0, f"not JSON: {done.stdout[:200]}") from None

    def terms(self, role: Role) -> flags.Terms:
        return flags.Terms(self.runtime.name_for(role), self.profile(), self.runtime.least_pids)

    def pids_limit(self, limits: Limits) -> int:
        """What the kernel counts to: the method's processes, or what the runtime needs at least."""
        return max(limits.pids, self.runtime.least_pids)

    def containers(self, *labels: str) -> list[dict[str, Any]]:
        """`inspect` of every container, running or not, that carries all these labels. Raises `EngineError`."""
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        names = self.run("ps", "--all", "--quiet", "--no-trunc", *filters).stdout.split()
        if not names:
            return []
        # One that went away since fails the command, which prints the others all the same.
        return list(json.loads(self.run("inspect", "--type", "container", *names, check=False).stdout or "[]"))

    def image_build(self, folder: Path, *options: str) -> str:
        """Build a folder's Containerfile; the image's ID. Raises `EngineError`.

        With runc: it is a trusted step, and needs the network that gVisor does not get here.
        """
        command = ("build", "--quiet", *options, "--file", str(folder / "Containerfile"), str(folder))
        done = replace(self, runtime=RUNC).run(*command, timeout_s=3600.0)
        return f"sha256:{done.stdout.split()[-1].removeprefix('sha256:')}"

    def image_id(self, reference: str) -> str:
        """64 hex digits. Raises `EngineError` when the store has no such image."""
        return self.run("image", "inspect", "--format", "{{.Id}}", reference).stdout.strip().removeprefix("sha256:")

    def remove(self, *names: str) -> None:
        """Kill and remove containers by name or ID; silent about those that are already gone."""
        if names:
            self.run(*self.remove_arguments(*names), check=False)


def platform_failure(what: str, error: BaseException) -> EvaluationFailed:
    """`error` as a failure of ours: the run is repeated and costs no quota."""
    return EvaluationFailed(FailureCode.PLATFORM_ERROR, f"{what}: {error}")
