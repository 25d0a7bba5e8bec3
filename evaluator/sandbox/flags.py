"""Every flag that a method's container is created with, and the proof from `inspect` that the engine took them."""

from __future__ import annotations

import resource
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluator.sandbox.protocol import ContainerSpec, Mount
from evaluator.sandbox.seccomp import PROFILE

LABEL_RUN = "palimpsest.run"
LABEL_ROLE = "palimpsest.role"
LABEL_HOME = "palimpsest.home"
LABEL_DEADLINE = "palimpsest.deadline"

#: Not 65534: on some hosts the root disk keeps blocks reserved for that id.
USER = "10001:10001"

OUT = "/out"
TMP = "/tmp"  # nosec B108 # inside the container
SOCKET_FOLDER = "/run/palimpsest"

#: After our own timer, the engine's: ends an orphan even if the evaluator was killed.
BACKSTOP_S = 30

_FIRST_ID = 1_000_000
_IDS = 65_536
_MB = 1 << 20

#: Besides what the engine masks: how busy the machine is with other runs (anybody may write there), and its kernel.
MASKED = "/proc/pressure:/proc/kallsyms:/proc/modules:/proc/diskstats:/proc/interrupts:/proc/softirqs"


def container_name(spec: ContainerSpec) -> str:
    return f"palimpsest-{spec.run_id}-{spec.role}"


def root_id(run_id: str) -> int:
    """Which user of this machine a container's root is: nobody, and another one for each run."""
    return _FIRST_ID + _IDS * (zlib.crc32(run_id.encode()) % 4096)


def id_map(run_id: str) -> str:
    """Runs have user ids of their own, so that two methods side by side are strangers to the kernel too."""
    return f"0:{root_id(run_id)}:{_IDS}"


def container_environment(spec: ContainerSpec) -> dict[str, str]:
    """The contract's variables and thread counts; what the caller gave wins, except where a file lies."""
    threads = str(spec.threads)
    environment = {
        "HOME": TMP,
        "TMPDIR": TMP,
        "PALIMPSEST_THREADS": threads,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        # Threads that spin while they wait use up the quota of --cpus: a small training loop on two threads took
        # 31 s, and 7 s with this.
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONHASHSEED": "0",
    }
    if spec.role == "unlearn":
        environment |= {"PALIMPSEST_IN": "/in", **spec.env, "PALIMPSEST_OUT": OUT}
    else:
        places = {"PALIMPSEST_STATE": "/state", "PALIMPSEST_BASE": "/base"}
        environment |= {**places, **spec.env, "PALIMPSEST_SOCKET": f"{SOCKET_FOLDER}/api.sock"}
    return environment


@dataclass(frozen=True)
class Terms:
    """What an engine and its runtime ask for beside a `ContainerSpec`."""

    runtime: str = "runc"
    profile: Path = PROFILE
    least_pids: int = 0


@dataclass(frozen=True)
class Birth:
    """What a container is created with beside its `ContainerSpec`."""

    image_id: str
    volume: Mount  # the one place, besides /tmp and /dev/shm, that it may write
    home_key: str
    cgroup: str
    deadline: float
    lifetime_s: int


def common_arguments(spec: ContainerSpec, birth: Birth, terms: Terms) -> list[str]:
    """`create …`, as far as podman and docker take the same words."""
    limits = spec.limits
    pids = max(limits.pids, terms.least_pids)
    processes = _within_hard_limit(resource.RLIMIT_NPROC, max(512, pids + 64))
    file_bytes = max(limits.out_mb, limits.tmp_mb, limits.shm_mb) * _MB
    return [
        *("create", "--name", container_name(spec), "--pull", "never"),
        *("--label", f"{LABEL_RUN}={spec.run_id}", "--label", f"{LABEL_ROLE}={spec.role}"),
        *("--label", f"{LABEL_HOME}={birth.home_key}", "--label", f"{LABEL_DEADLINE}={int(birth.deadline)}"),
        # What it can reach: nothing.
        *("--network", "none", "--hostname", "sandbox"),
        *("--cgroupns", "private", "--cgroup-parent", birth.cgroup, "--ipc", "private"),
        # What it can write: a HEALTHCHECK would run what nobody waits for.
        *("--read-only", "--no-healthcheck"),
        *("--tmpfs", f"{TMP}:rw,size={limits.tmp_mb}m,mode=1777,noexec,nosuid,nodev"),
        # Who it is: nobody.
        *("--cap-drop", "all", "--security-opt", "no-new-privileges", "--security-opt", f"seccomp={terms.profile}"),
        *("--user", USER),
        # How much it gets.
        *("--pids-limit", str(pids), "--memory", f"{limits.ram_mb}m", "--memory-swap", f"{limits.ram_mb}m"),
        *("--cpus", f"{limits.cpus:g}", "--shm-size", f"{limits.shm_mb}m"),
        *("--ulimit", "nofile=1024:1024", "--ulimit", f"nproc={processes}:{processes}", "--ulimit", "core=0:0"),
        *("--ulimit", f"fsize={file_bytes}:{file_bytes}", "--log-driver", "none"),
        *(word for name, value in sorted(container_environment(spec).items()) for word in ("--env", f"{name}={value}")),
    ]


def create_arguments(spec: ContainerSpec, birth: Birth, terms: Terms) -> list[str]:
    """`create …` for one container of podman."""
    flags = [
        *common_arguments(spec, birth, terms),
        *("--no-hosts", "--http-proxy=false", "--pid", "private", "--uts", "private"),
        *("--security-opt", f"mask={MASKED}"),
        # A VOLUME or /sbin/init as entrypoint would each open a way round read-only.
        *("--read-only-tmpfs=false", "--image-volume", "ignore", "--systemd", "false", "--sdnotify", "ignore"),
        *("--mount", "type=tmpfs,destination=/dev/mqueue,tmpfs-size=64k,ro=true"),
        *("--uidmap", id_map(spec.run_id), "--gidmap", id_map(spec.run_id), "--umask", "0022"),
        *("--timeout", str(birth.lifetime_s)),
    ]
    for mount in (birth.volume, *spec.mounts):
        access = "ro" if mount.read_only else "rw"
        flags += ["--volume", f"{mount.source}:{mount.target}:{access},noexec,nosuid,nodev"]
    return [*flags, birth.image_id.removeprefix("sha256:"), *spec.args]


def flags_wrong(report: Mapping[str, Any], spec: ContainerSpec, terms: Terms) -> list[str]:
    """Where `podman inspect` of a created container shows less than isolation needs; empty when all holds."""
    host = report["HostConfig"]
    tmpfs = host.get("Tmpfs") or {}
    maps = host.get("IDMappings") or {}
    binds = {line.split(":")[1]: line.split(":")[2].split(",") for line in host.get("Binds") or []}
    expected: Expected = common_expected(report, spec, terms) | {
        "runtime": (report.get("OCIRuntime"), terms.runtime),
        "capabilities": (report.get("EffectiveCaps") or [], []),
        "bounding capabilities": (report.get("BoundingCaps") or [], []),
        "seccomp": (f"seccomp={terms.profile}" in host["SecurityOpt"], True),
        "user map": (maps.get("UidMap"), [id_map(spec.run_id)]),
        "group map": (maps.get("GidMap"), [id_map(spec.run_id)]),
        "temporary folders": (sorted(tmpfs), ["/dev/mqueue", TMP] if "/dev/mqueue" in tmpfs else [TMP]),
        "writable folders": ({target for target, options in binds.items() if "rw" in options}, writable(spec)),
        "folders without programs": (all("noexec" in options for options in binds.values()), True),
    }
    return differences(expected)


#: By name, what was found and what was wanted.
Expected = dict[str, tuple[Any, Any]]


def common_expected(report: Mapping[str, Any], spec: ContainerSpec, terms: Terms) -> Expected:
    """What `inspect` of podman and of docker tell in the same words."""
    host, limits = report["HostConfig"], spec.limits
    return {
        "network": (host["NetworkMode"], "none"),
        "read-only root": (host["ReadonlyRootfs"], True),
        "privileged": (host["Privileged"], False),
        "no-new-privileges": ("no-new-privileges" in host["SecurityOpt"], True),
        "user": (report["Config"]["User"], USER),
        "processes": (host["PidsLimit"], max(limits.pids, terms.least_pids)),
        "memory": (host["Memory"], limits.ram_mb * _MB),
        "memory and swap": (host["MemorySwap"], limits.ram_mb * _MB),
        "cpus": (host["NanoCpus"], int(limits.cpus * 1e9)),
        "shared memory": (host["ShmSize"], limits.shm_mb * _MB),
        "log driver": (host["LogConfig"]["Type"], "none"),
        "devices": (host.get("Devices") or [], []),
        "health check": ((report["Config"].get("Healthcheck") or {}).get("Test", ["NONE"]), ["NONE"]),
        f"{TMP} without programs": ("noexec" in (host.get("Tmpfs") or {}).get(TMP, ""), True),
    }


def differences(expected: Expected) -> list[str]:
    return [f"{name}: wanted {want!r}, is {have!r}" for name, (have, want) in expected.items() if have != want]


def writable(spec: ContainerSpec) -> set[str]:
    """The folders of this machine that a container may write."""
    return {
        OUT if spec.role == "unlearn" else SOCKET_FOLDER,
        *(mount.target for mount in spec.mounts if not mount.read_only),
    }


def _within_hard_limit(kind: int, wanted: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def volume_as_mount(path: Path, spec: ContainerSpec) -> Mount:
    return Mount(path, OUT if spec.role == "unlearn" else SOCKET_FOLDER, read_only=False)
