"""Every flag that a method's container is created with, and the proof from `inspect` that the engine took them."""

from __future__ import annotations

import resource
import zlib
from collections.abc import Mapping
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
SOCKET_FOLDER = "/run/palimpsest"

#: After our own timer, the engine's: ends an orphan even if the evaluator was killed.
BACKSTOP_S = 30

_FIRST_ID = 1_000_000
_IDS = 65_536
_MB = 1 << 20


def container_name(spec: ContainerSpec) -> str:
    return f"palimpsest-{spec.run_id}-{spec.role}"


def id_map(run_id: str) -> str:
    """Runs have user ids of their own, so that two methods side by side are strangers to the kernel too."""
    return f"0:{_FIRST_ID + _IDS * (zlib.crc32(run_id.encode()) % 4096)}:{_IDS}"


def container_environment(spec: ContainerSpec) -> dict[str, str]:
    """The contract's variables and thread counts; what the caller gave wins, except where a file lies."""
    threads = str(spec.threads)
    environment = {
        "HOME": "/tmp",
        "TMPDIR": "/tmp",
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


def create_arguments(
    spec: ContainerSpec, *, image_id: str, volume: Mount, home_key: str, cgroup: str, deadline: float, lifetime_s: int
) -> list[str]:
    """`create …` for one container. `volume` is the one place, besides /tmp and /dev/shm, that it may write."""
    limits = spec.limits
    processes = _within_hard_limit(resource.RLIMIT_NPROC, max(512, limits.pids + 64))
    file_bytes = max(limits.out_mb, limits.tmp_mb, limits.shm_mb) * _MB
    flags = [
        *("create", "--name", container_name(spec), "--pull", "never"),
        *("--label", f"{LABEL_RUN}={spec.run_id}", "--label", f"{LABEL_ROLE}={spec.role}"),
        *("--label", f"{LABEL_HOME}={home_key}", "--label", f"{LABEL_DEADLINE}={int(deadline)}"),
        # What it can reach: nothing.
        *("--network", "none", "--no-hosts", "--hostname", "sandbox", "--http-proxy=false"),
        *(
            "--cgroupns",
            "private",
            "--cgroup-parent",
            cgroup,
            "--ipc",
            "private",
            "--pid",
            "private",
            "--uts",
            "private",
        ),
        # What it can write: a VOLUME, a HEALTHCHECK or /sbin/init as entrypoint would each open a way round read-only.
        *("--read-only", "--read-only-tmpfs=false", "--image-volume", "ignore", "--no-healthcheck"),
        *("--systemd", "false", "--sdnotify", "ignore"),
        *("--tmpfs", f"/tmp:rw,size={limits.tmp_mb}m,mode=1777,noexec,nosuid,nodev"),
        *("--mount", "type=tmpfs,destination=/dev/mqueue,tmpfs-size=64k,ro=true"),
        *("--volume", f"{volume.source}:{volume.target}:rw,noexec,nosuid,nodev"),
        # Who it is: nobody.
        *("--cap-drop", "all", "--security-opt", "no-new-privileges", "--security-opt", f"seccomp={PROFILE}"),
        *("--uidmap", id_map(spec.run_id), "--gidmap", id_map(spec.run_id), "--user", USER, "--umask", "0022"),
        # How much it gets.
        *("--pids-limit", str(limits.pids), "--memory", f"{limits.ram_mb}m", "--memory-swap", f"{limits.ram_mb}m"),
        *("--cpus", f"{limits.cpus:g}", "--shm-size", f"{limits.shm_mb}m"),
        *("--ulimit", "nofile=1024:1024", "--ulimit", f"nproc={processes}:{processes}", "--ulimit", "core=0:0"),
        *("--ulimit", f"fsize={file_bytes}:{file_bytes}", "--log-driver", "none", "--timeout", str(lifetime_s)),
    ]
    for mount in spec.mounts:
        access = "ro" if mount.read_only else "rw"
        flags += ["--volume", f"{mount.source}:{mount.target}:{access},noexec,nosuid,nodev"]
    for name, value in sorted(container_environment(spec).items()):
        flags += ["--env", f"{name}={value}"]
    return [*flags, image_id.removeprefix("sha256:"), *spec.args]


def flags_wrong(report: Mapping[str, Any], spec: ContainerSpec) -> list[str]:
    """Where `podman inspect` of a created container shows less than isolation needs; empty when all holds."""
    host, limits = report["HostConfig"], spec.limits
    tmpfs = host.get("Tmpfs") or {}
    maps = host.get("IDMappings") or {}
    binds = {line.split(":")[1]: line.split(":")[2].split(",") for line in host.get("Binds") or []}
    writable = {OUT if spec.role == "unlearn" else SOCKET_FOLDER, *(m.target for m in spec.mounts if not m.read_only)}
    expected: dict[str, tuple[Any, Any]] = {
        "network": (host["NetworkMode"], "none"),
        "read-only root": (host["ReadonlyRootfs"], True),
        "privileged": (host["Privileged"], False),
        "capabilities": (report.get("EffectiveCaps") or [], []),
        "bounding capabilities": (report.get("BoundingCaps") or [], []),
        "no-new-privileges": ("no-new-privileges" in host["SecurityOpt"], True),
        "seccomp": (f"seccomp={PROFILE}" in host["SecurityOpt"], True),
        "user": (report["Config"]["User"], USER),
        "user map": (maps.get("UidMap"), [id_map(spec.run_id)]),
        "group map": (maps.get("GidMap"), [id_map(spec.run_id)]),
        "processes": (host["PidsLimit"], limits.pids),
        "memory": (host["Memory"], limits.ram_mb * _MB),
        "memory and swap": (host["MemorySwap"], limits.ram_mb * _MB),
        "cpus": (host["NanoCpus"], int(limits.cpus * 1e9)),
        "shared memory": (host["ShmSize"], limits.shm_mb * _MB),
        "log driver": (host["LogConfig"]["Type"], "none"),
        "devices": (host.get("Devices") or [], []),
        "health check": ((report["Config"].get("Healthcheck") or {}).get("Test", ["NONE"]), ["NONE"]),
        "temporary folders": (sorted(tmpfs), ["/dev/mqueue", "/tmp"] if "/dev/mqueue" in tmpfs else ["/tmp"]),
        "/tmp without programs": ("noexec" in tmpfs.get("/tmp", ""), True),
        "writable folders": ({target for target, options in binds.items() if "rw" in options}, writable),
        "folders without programs": (all("noexec" in options for options in binds.values()), True),
    }
    return [f"{name}: wanted {want!r}, is {have!r}" for name, (have, want) in expected.items() if have != want]


def _within_hard_limit(kind: int, wanted: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def volume_as_mount(path: Path, spec: ContainerSpec) -> Mount:
    return Mount(path, OUT if spec.role == "unlearn" else SOCKET_FOLDER, read_only=False)
