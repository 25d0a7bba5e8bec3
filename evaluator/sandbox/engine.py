"""The container engine as a command line: one place that knows how podman, or what is like it, is called."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evaluator.contract import EvaluationFailed, FailureCode, Limits
from evaluator.sandbox import flags
from evaluator.sandbox.admission import Problem
from evaluator.sandbox.protocol import ContainerSpec, Role
from evaluator.sandbox.seccomp import PROFILE, profile_without_errno

# crun refuses a machine with both cgroup versions mounted, so another runtime; without systemd, cgroupfs and a file of
# events; and without CAP_SYS_RESOURCE the engine's default ulimits cannot be set at all, so both are named here.
CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=512:512"]
[engine]
runtime = "{runtime}"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


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
#: gVisor: the method's system calls end in a kernel of its own, in user space. It may make sockets in its one
#: writable folder (the contract's way to serve), and connect to none of this machine's. For a server its folders are
#: its alone: otherwise gVisor opens a file again before each use, which it cannot with a socket (`chmod` fails). Not so
#: for /out: what is written would be kept in memory, and what does not fit would be lost without an error.
RUNSC = Runtime(
    "runsc",
    options=("--network=none", "--host-uds=create", "--oci-seccomp"),
    serve_options=("--file-access-mounts=exclusive",),
    least_pids=256,
)

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
class Engine:
    """Podman with its own configuration under `home`/sandbox. Every call is a child process; none needs a daemon.

    `root`: a folder for images and containers of its own, instead of the machine's.
    """

    home: Path
    program: str = "podman"
    root: Path | None = None
    runtime: Runtime = RUNC
    _environment: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        environment = {name: os.environ[name] for name in PASSED_ENVIRONMENT if name in os.environ}
        environment.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        environment.setdefault("HOME", "/root")
        object.__setattr__(self, "_environment", environment | self.own_environment())

    # ------------------------------------------------------------ what is podman's own

    def own_environment(self) -> dict[str, str]:
        """Variables that lead the engine to its configuration."""
        return {"CONTAINERS_CONF": str(self.configuration_path())}

    def configuration_path(self) -> Path:
        name = "containers" if self.runtime is RUNC else self.runtime.name
        return (self.home / "sandbox" / f"{name}.conf").absolute()

    def profile(self) -> Path:
        """The system calls that a method may use, in the form that the runtime understands."""
        return PROFILE if self.runtime is RUNC else self.configuration_path().with_suffix(".seccomp.json")

    def configuration_write(self) -> None:
        """Write what the engine reads, where it differs; atomic, so that two evaluators may start at once."""
        path = self.configuration_path()
        text = CONTAINERS_CONF.format(runtime=self.runtime.name)
        if self.runtime.options:
            _written(self.profile(), json.dumps(profile_without_errno(json.loads(PROFILE.read_text()))))
            text += "[engine.runtimes]\n"
            for name, more in ((self.runtime.name, ()), (self.runtime.name_for("serve"), self.runtime.serve_options)):
                script = path.with_name(f"{name}.sh")
                options = shlex.join((*self.runtime.options, *more))
                _written(script, f'#!/bin/sh\nexec {self.runtime.name} {options} "$@"\n', mode=0o755)
                text += f'{name} = ["{script}"]\n'
        _written(path, text)

    def missing(self) -> list[str]:
        """What this machine lacks to run containers, as sentences; empty when ready."""
        programs = (self.program, self.runtime.name)
        found = [
            f"`{name}` is not installed: apt-get install --no-install-recommends {' '.join(programs)}"
            for name in programs
            if shutil.which(name, path=self._environment["PATH"]) is None
        ]
        if os.geteuid() != 0:
            found.append(
                "containers need root (rootless, limits are not enforced): run as root, or use the process backend"
            )
        if not found:
            try:
                self.run("info", "--format", "{{.Host.OCIRuntime.Name}}")
            except EngineError as error:
                found.append(f"podman does not work: {error.output}")
        return found

    def versions(self) -> dict[str, str]:
        """`engine` and `runtime` with their versions. Raises `EngineError`, `LookupError` or `TypeError`."""
        info = self.json("info", "--format", "json")
        runtime: str = info["host"]["ociRuntime"]["version"].splitlines()[0]
        return {"engine": f"podman {info['version']['Version']}", "runtime": runtime}

    def image_exists(self, reference: str) -> bool:
        """Whether the local store holds an image. Raises `EngineError` when the store itself is broken."""
        done = self.run("image", "exists", reference.removeprefix("sha256:"), check=False)
        if done.returncode > 1:
            raise EngineError(self.command("image", "exists"), done.returncode, done.stderr)
        return done.returncode == 0

    def image_load(self, layout: Path, name: str) -> str:
        """Take over the image `name` of an OCI layout, layers that are here skipped; the engine's ID of it."""
        loaded = self.run("pull", "--quiet", f"oci:{layout.absolute()}:{name}", timeout_s=900).stdout.split()
        if not loaded:
            raise EngineError(self.command("pull"), 0, f"loaded nothing from {layout}")
        self.run("untag", loaded[-1])  # the engine names it after this folder
        self.run("tag", loaded[-1], f"localhost/palimpsest-{name}:{loaded[-1][:12]}")
        return f"sha256:{loaded[-1]}"

    def create_arguments(self, spec: ContainerSpec, birth: flags.Birth) -> list[str]:
        """`create …` for one container."""
        terms = self.terms(spec.role)
        return ["--runtime", terms.runtime, *flags.create_arguments(spec, birth, terms)]

    def flags_wrong(self, report: Mapping[str, Any], spec: ContainerSpec) -> list[str]:
        """Where `inspect` of a created container shows less than isolation needs; empty when all holds."""
        return flags.flags_wrong(report, spec, self.terms(spec.role))

    def root_id(self, spec: ContainerSpec) -> int:
        """Which user of this machine the container's root is."""
        return flags.root_id(spec.run_id)

    def image_wrong(self, report: Mapping[str, Any]) -> list[Problem]:
        """What this engine cannot run safely in an image, by `image inspect`; each {field, value, problem, remedy}."""
        return []

    def start_arguments(self, name: str) -> list[str]:
        """`start …`, whose output and status are the container's."""
        return ["start", "--attach", "--sig-proxy=false", name]

    def remove_arguments(self, *names: str) -> list[str]:
        return ["rm", "--force", "--time", "0", "--volumes", "--ignore", *names]

    # ------------------------------------------------------------ what every engine shares

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


def _written(path: Path, text: str, *, mode: int = 0o644) -> None:
    if path.is_file() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.chmod(mode)
    partial.replace(path)


def platform_failure(what: str, error: BaseException) -> EvaluationFailed:
    """`error` as a failure of ours: the run is repeated and costs no quota."""
    return EvaluationFailed(FailureCode.PLATFORM_ERROR, f"{what}: {error}")
