"""The container engine as a command line: one place that knows how podman is called and configured."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluator.contract import EvaluationFailed, FailureCode

# crun refuses a machine with both cgroup versions mounted, so runc; without systemd, cgroupfs and a file of events;
# and without CAP_SYS_RESOURCE the engine's default ulimits cannot be set at all, so both are named here.
CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=512:512"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""

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
        return "image not known" in self.output or "no such image" in self.output


@dataclass(frozen=True)
class Engine:
    """Podman with its own configuration under `home`/sandbox. Every call is a child process; none needs a daemon.

    `root`: a folder for images and containers of its own, instead of the machine's.
    """

    home: Path
    program: str = "podman"
    root: Path | None = None
    _environment: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        environment = {name: os.environ[name] for name in PASSED_ENVIRONMENT if name in os.environ}
        environment.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        environment.setdefault("HOME", "/root")
        environment["CONTAINERS_CONF"] = str(self.configuration_path())
        object.__setattr__(self, "_environment", environment)

    def configuration_path(self) -> Path:
        return (self.home / "sandbox" / "containers.conf").absolute()

    def configuration_write(self) -> None:
        """Write containers.conf if it differs; atomic, so that two evaluators may start at once."""
        path = self.configuration_path()
        if path.is_file() and path.read_text() == CONTAINERS_CONF:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.write_text(CONTAINERS_CONF)
        partial.replace(path)

    def missing(self) -> list[str]:
        """What this machine lacks to run containers, as sentences; empty when ready."""
        found: list[str] = []
        for name in (self.program, "runc"):
            if shutil.which(name) is None:
                found.append(f"`{name}` is not installed: apt-get install --no-install-recommends podman runc")
        if os.geteuid() != 0:
            found.append(
                "containers need root (rootless, limits are not enforced): run as root, or use the process backend"
            )
        return found

    def command(self, *arguments: str) -> list[str]:
        return [self.program, *self._places(), *arguments]

    def _places(self) -> list[str]:
        """Flags that lead to `root`. What must not outlive a restart of the machine lies beside it, in /run."""
        if self.root is None:
            return []
        places = {"root": self.root / "root", "runroot": self.run_root(), "tmpdir": self.run_root() / "libpod"}
        return ["--storage-driver", "overlay", *(f"--{name}={path}" for name, path in places.items())]

    def run_root(self) -> Path:
        assert self.root is not None
        return self.root.with_name(f"{self.root.name}-run")

    def storage(self) -> str:
        """This engine's images as skopeo names them: a name follows."""
        assert self.root is not None
        return f"containers-storage:[overlay@{self.root / 'root'}+{self.run_root()}]"

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

    def image_exists(self, reference: str) -> bool:
        """Whether the local store holds an image. Raises `EngineError` when the store itself is broken."""
        done = self.run("image", "exists", reference.removeprefix("sha256:"), check=False)
        if done.returncode > 1:
            raise EngineError(self.command("image", "exists"), done.returncode, done.stderr)
        return done.returncode == 0

    def image_id(self, reference: str) -> str:
        """64 hex digits. Raises `EngineError` when the store has no such image."""
        return self.run("image", "inspect", "--format", "{{.Id}}", reference).stdout.strip().removeprefix("sha256:")

    def remove(self, *names: str) -> None:
        """Kill and remove containers by name or ID; silent about those that are already gone."""
        if names:
            self.run("rm", "--force", "--time", "0", "--volumes", "--ignore", *names, check=False)


def platform_failure(what: str, error: BaseException) -> EvaluationFailed:
    """`error` as a failure of ours: the run is repeated and costs no quota."""
    return EvaluationFailed(FailureCode.PLATFORM_ERROR, f"{what}: {error}")
