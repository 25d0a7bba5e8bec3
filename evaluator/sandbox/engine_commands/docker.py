"""Docker as a command line: what podman has and a daemon that serves everyone gives otherwise, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from evaluator.sandbox import flags
from evaluator.sandbox.admission import Problem
from evaluator.sandbox.engine_commands.base import RUNC, ContainerEngine, EngineError, Runtime
from evaluator.sandbox.protocol import ContainerSpec
from evaluator.sandbox.seccomp import PROFILE

_SOCKET = "unix:///var/run/docker.sock"
#: Where the daemon's user namespace begins, when it has none.
_HOST_ROOT = 0


@dataclass(frozen=True)
class DockerEngine(ContainerEngine):
    """Docker by its command line. `DOCKER_HOST` names the daemon, which must be this machine's: folders are shared.

    What podman does and docker does not: user ids of its own for each run (the daemon may remap all containers alike),
    an end of its own for a container whose evaluator was killed (our watch of the parent and the sweep are left), and
    `noexec` on single folders (the mounts themselves carry it).
    """

    program: str = "docker"
    runtime: Runtime = RUNC

    def own_environment(self) -> dict[str, str]:
        # A folder of our own: the caller's could hold proxies with passwords, which docker hands to every container.
        folder = (self.home / "sandbox" / "docker").absolute()
        return {"DOCKER_HOST": os.environ.get("DOCKER_HOST") or _SOCKET, "DOCKER_CONFIG": str(folder)}

    def configuration_write(self) -> None:
        Path(self.environment()["DOCKER_CONFIG"]).mkdir(parents=True, exist_ok=True)

    def profile(self) -> Path:
        return PROFILE

    def missing(self) -> list[str]:
        host = self.environment()["DOCKER_HOST"]
        if shutil.which(self.program, path=self.environment()["PATH"]) is None:
            return ["`docker` is not installed: apt-get install --no-install-recommends docker.io"]
        if not host.startswith("unix://"):
            return [f"DOCKER_HOST: {host} is another machine: name the socket of this machine's daemon, as unix://PATH"]
        found = []
        if os.geteuid() != 0:
            found.append("what a container may write is mounted for it, which takes root: run as root")
        try:
            info = self.information()
        except EngineError as error:
            return [*found, f"no docker daemon answers at {host}: start dockerd, or set DOCKER_HOST ({error.output})"]
        if info.get("CgroupDriver") != "cgroupfs":
            found.append(
                f"the daemon's cgroup driver is {info.get('CgroupDriver')}, and containers need groups of ours: "
                'set "exec-opts": ["native.cgroupdriver=cgroupfs"] in daemon.json'
            )
        if not any("seccomp" in option for option in info.get("SecurityOptions") or []):
            found.append("the daemon has no seccomp: use a kernel and a docker that have it")
        for limit in ("MemoryLimit", "SwapLimit", "PidsLimit", "CpuCfsQuota"):
            if info.get(limit) is False:
                found.append(
                    f"the daemon cannot set {limit}: enable that cgroup controller in the kernel's command line"
                )
        return found

    def information(self) -> dict[str, Any]:
        """`docker info`. Raises `EngineError`."""
        info: dict[str, Any] = self.json("info", "--format", "{{json .}}")
        if errors := info.get("ServerErrors"):
            raise EngineError(self.command("info"), 1, "; ".join(errors))
        return info

    def remapped(self) -> bool:
        """Whether the daemon gives containers user ids of their own (`userns-remap`)."""
        return any("name=userns" in option for option in self.information().get("SecurityOptions") or [])

    def versions(self) -> dict[str, str]:
        info = self.information()
        commit = str((info.get("RuncCommit") or {}).get("ID", ""))[:12]
        ids = "remapped by the daemon" if self.remapped() else "this machine's (the daemon has no userns-remap)"
        return {"engine": f"docker {info['ServerVersion']}", "runtime": f"runc {commit}".strip(), "user ids": ids}

    def image_exists(self, reference: str) -> bool:
        done = self.run("image", "inspect", "--format", "{{.Id}}", reference, check=False)
        if done.returncode != 0:
            error = EngineError(self.command("image", "inspect"), done.returncode, done.stderr)
            if not error.image_unknown():
                raise error
        return done.returncode == 0

    def image_load(self, layout: Path, name: str) -> str:
        """`docker load` of an archive that is written here, beside the layout, and removed."""
        archive = layout / f".{name}.{os.getpid()}.tar"
        try:
            image_id = _archive_write(archive, layout, name)
            self.run("load", "--quiet", "--input", str(archive), timeout_s=900)
        finally:
            archive.unlink(missing_ok=True)
        found: str = self.json("image", "inspect", image_id)[0]["Id"]
        return found

    def create_arguments(self, spec: ContainerSpec, birth: flags.Birth) -> list[str]:
        words = flags.common_arguments(spec, birth, self.terms(spec.role))
        words += ["--runtime", self.runtime.name]
        # A VOLUME of the image would be writable and without a size; docker cannot ignore it, only put something there.
        for target in ("/dev/mqueue", *self.volumes(birth.image_id)):
            words += ["--tmpfs", f"{target}:ro,size=64k"]
        for mount in (birth.volume, *spec.mounts):
            access = ",readonly" if mount.read_only else ""
            words += ["--mount", f"type=bind,source={mount.source},destination={mount.target}{access}"]
        return [*words, birth.image_id, *spec.args]

    def volumes(self, image: str) -> list[str]:
        """The folders that an image declares as a VOLUME. Raises `EngineError`."""
        return sorted(self.json("image", "inspect", image)[0]["Config"].get("Volumes") or {})

    def flags_wrong(self, report: Mapping[str, Any], spec: ContainerSpec) -> list[str]:
        host = report["HostConfig"]
        profile = [option.removeprefix("seccomp=") for option in host["SecurityOpt"] if option.startswith("seccomp=")]
        writable = {mount["Destination"] for mount in report["Mounts"] if mount["RW"]}
        hidden = {"/dev/mqueue", *(report["Config"].get("Volumes") or ())}
        wanted = flags.common_expected(report, spec, self.terms(spec.role)) | {
            "runtime": (host["Runtime"], self.runtime.name),
            "dropped capabilities": ([name.lower() for name in host["CapDrop"] or []], ["all"]),
            "added capabilities": (host["CapAdd"] or [], []),
            "seccomp": ([json.loads(text) for text in profile], [json.loads(self.profile().read_text())]),
            "namespaces of the host": (
                [host[name] for name in ("PidMode", "IpcMode", "UTSMode", "UsernsMode", "CgroupnsMode")],
                ["", "private", "", "", "private"],
            ),
            "temporary folders": (set(host["Tmpfs"] or {}), {flags.TMP, *hidden}),
            "read-only folders": ({name for name in hidden if "ro" in host["Tmpfs"].get(name, "").split(",")}, hidden),
            "writable folders": (writable, flags.writable(spec)),
            "published ports": (host["PortBindings"] or {}, {}),
        }
        return flags.differences(wanted)

    def image_wrong(self, report: Mapping[str, Any]) -> list[Problem]:
        if not (volumes := sorted(report["Config"].get("Volumes") or {})):
            return []
        problem = "is declared as a VOLUME, which docker cannot ignore: its files would be hidden"
        remedy = "leave VOLUME out; write to $PALIMPSEST_OUT and /tmp"
        return [{"field": "volume", "value": ", ".join(volumes), "problem": problem, "remedy": remedy}]

    def root_id(self, spec: ContainerSpec) -> int:
        # With userns-remap, docker's own root opens folders before the container's namespace is entered.
        return _HOST_ROOT

    def start_arguments(self, name: str) -> list[str]:
        return ["start", "--attach", name]

    def remove_arguments(self, *names: str) -> list[str]:
        return ["rm", "--force", "--volumes", *names]


def _archive_write(archive: Path, layout: Path, name: str) -> str:
    """The image `name` of an OCI layout as `docker save` would write it; its ID."""
    blobs = layout / "blobs" / "sha256"

    def blob(descriptor: Mapping[str, Any]) -> Path:
        return blobs / str(descriptor["digest"]).removeprefix("sha256:")

    images = json.loads((layout / "index.json").read_text())["manifests"]
    found = next(item for item in images if item["annotations"]["org.opencontainers.image.ref.name"] == name)
    manifest = json.loads(blob(found).read_text())
    image_id: str = manifest["config"]["digest"]
    config, stack = f"{image_id.removeprefix('sha256:')}.json", [blob(layer) for layer in manifest["layers"]]
    listing = {
        "Config": config,
        "RepoTags": [f"palimpsest-{name}:{image_id.removeprefix('sha256:')[:12]}"],
        "Layers": [f"{layer.name}/layer.tar" for layer in stack],
    }
    with tarfile.open(archive, "w") as tar:
        text = json.dumps([listing]).encode()
        info = tarfile.TarInfo("manifest.json")
        info.size = len(text)
        tar.addfile(info, BytesIO(text))
        tar.add(blob(manifest["config"]), config)
        for layer in stack:
            tar.add(layer, f"{layer.name}/layer.tar")
    return image_id
