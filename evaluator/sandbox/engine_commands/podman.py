"""Podman as a command line, under runc or under gVisor's runsc. Every call is a child process; none needs a daemon."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluator.sandbox import flags
from evaluator.sandbox.engine_commands.base import RUNC, ContainerEngine, EngineError, Runtime
from evaluator.sandbox.protocol import ContainerSpec
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


@dataclass(frozen=True)
class PodmanEngine(ContainerEngine):
    """Podman with its own configuration under `home`/sandbox, and its own store under `root`, if there is one."""

    program: str = "podman"

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

    def start_arguments(self, name: str) -> list[str]:
        """`start …`, whose output and status are the container's."""
        return ["start", "--attach", "--sig-proxy=false", name]

    def remove_arguments(self, *names: str) -> list[str]:
        return ["rm", "--force", "--time", "0", "--volumes", "--ignore", *names]

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


def _written(path: Path, text: str, *, mode: int = 0o644) -> None:
    if path.is_file() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.chmod(mode)
    partial.replace(path)
