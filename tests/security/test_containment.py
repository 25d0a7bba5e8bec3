"""What a hostile method tries from inside its container, and that none of it works."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from evaluator.artifact import BaseTensors, seal
from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.model.remote import RemoteModel
from evaluator.sandbox import ContainerSpec, Mount, PodmanSandbox, flags
from evaluator.sandbox.engines.container import Container
from evaluator.sandbox.engines.lifecycle import EngineSandbox
from tests.evaluator.sandbox.containers import LIMITS, SpecMaker, probe_image
from tests.security.hostile_server import answers, serving

pytestmark = pytest.mark.container

READ_ONLY = {"EROFS", "EACCES", "EPERM"}
ABSENT = {"ENOENT", "EACCES", "EPERM"}
FORBIDDEN = {"EPERM"}
SECRET = "a-secret-of-the-evaluator"
GVISOR = "podman-runsc"


@pytest.fixture(scope="module")
def found(sandbox: EngineSandbox, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each attempt came to: `intruder/entry.py`, in an image that also declares a volume.

    The evaluator's environment holds a secret meanwhile, and this machine has a listener without a file.
    """
    folder = tmp_path_factory.mktemp("intruder")
    (folder / "in" / "base").mkdir(parents=True)
    (folder / "base").mkdir()
    for path in (folder / "in", folder / "base"):
        path.chmod(0o777)
    image = probe_image(
        sandbox.home,
        "intruder",
        Path(__file__).with_name("intruder"),
        sandbox.engine,
        entrypoint=("/usr/bin/python3", "/opt/palimpsest/intruder/entry.py"),
        volumes=("/data",),
    )
    spec = ContainerSpec(
        run_id=f"i{os.getpid()}",
        role="unlearn",
        image=image,
        args=("unlearn",),
        mounts=(Mount(folder / "in", "/in"), Mount(folder / "base", "/in/base")),
        env={},
        limits=LIMITS,
    )
    os.environ["PALIMPSEST_RED_TEAM"] = SECRET
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0palimpsest-red-team")
        listener.listen()
        with sandbox.unlearn(spec, scratch=folder, log=folder / "run.log") as ended:
            assert ended.code == 0, ended.detail
            owners = {path.stat().st_uid for path in ended.out_dir.iterdir()}
    del os.environ["PALIMPSEST_RED_TEAM"]
    result: dict[str, Any] = json.loads((folder / "run.log").read_text())
    return result | {"owners": owners, "backend": sandbox.name}


@pytest.mark.parametrize(
    "attempt",
    [
        "write /",
        "write /etc",
        "write /in",
        "write /in/base",
        "write own code",
        "write /dev",
        "write /dev/mqueue",
        "write /run",
        "write sysctl",
        "write sysrq",
        "write cgroup release",
    ],
)
def test_nothing_but_its_output_can_be_written(found: dict[str, Any], attempt: str) -> None:
    assert found[attempt] in READ_ONLY | {"ENOENT"}


def test_a_volume_of_the_image_is_not_a_way_to_write(found: dict[str, Any]) -> None:
    assert found["write /var volume"] in READ_ONLY | {"ENOENT"}


@pytest.mark.parametrize("attempt", ["read kcore", "read mem", "read disk", "read kmsg", "read environment of 1"])
def test_the_machine_is_not_readable(found: dict[str, Any], attempt: str) -> None:
    assert found[attempt] in ABSENT


@pytest.mark.parametrize(
    "attempt",
    [
        "connect 1.1.1.1",
        "connect loopback",
        "socket inet",
        "socket inet6",
        "socket raw",
        "socket netlink",
        "socket vsock",
        "socket alg",
    ],
)
def test_there_is_no_socket_but_a_local_one(found: dict[str, Any], attempt: str) -> None:
    assert found[attempt] in FORBIDDEN


def test_of_every_family_of_sockets_only_the_local_one_opens(found: dict[str, Any]) -> None:
    """Raw, packet, netlink, vsock, XDP, Bluetooth, TIPC and whatever else the kernel has, by number."""
    assert found["sockets that open"] == []


def test_a_listener_of_the_machine_without_a_file_is_not_there(found: dict[str, Any]) -> None:
    assert found["abstract socket of the host"] == "ECONNREFUSED"


def test_names_do_not_resolve(found: dict[str, Any]) -> None:
    assert found["resolve"] in {"gaierror", "EAI_AGAIN", "EPERM"} or not found["resolve"][0].isdigit()


@pytest.mark.parametrize(
    "attempt",
    [
        "unshare",
        "clone user namespace",
        "mount",
        "ptrace",
        "keyctl",
        "bpf",
        "io_uring",
        "userfaultfd",
        "perf",
        "open by handle",
        "process_vm_readv",
        "setuid 0",
        "device",
    ],
)
def test_the_kernel_refuses_what_a_method_does_not_need(found: dict[str, Any], attempt: str) -> None:
    assert found[attempt] in FORBIDDEN


def test_no_call_that_reaches_past_a_container_is_there(found: dict[str, Any]) -> None:
    assert found["calls that work"] == []


@pytest.mark.parametrize("way", ["int 0x80 getpid", "int 0x80 socketcall", "int 0x80 mount"])
def test_the_32_bit_entry_of_the_kernel_ends_who_takes_it(found: dict[str, Any], way: str) -> None:
    """Machine code itself runs, as in any just-in-time compiler: what it asks of the kernel is what counts."""
    assert found["machine code"] == "returned 42"
    if found["backend"] == GVISOR:  # its own kernel takes it for the 64-bit call of that number: nothing is gone round
        assert found["int 0x80 socketcall"] == f"returned {found['uid']}", "102 is getuid"
    else:
        assert found[way] == f"signal {int(signal.SIGSYS)}"


def test_the_other_numbers_of_64_bit_calls_do_not_go_round_the_filter(found: dict[str, Any]) -> None:
    assert found["x32 getpid"] in {f"signal {int(signal.SIGSYS)}", "returned -1"}


@pytest.mark.parametrize("attempt", ["raise own limits", "go before others", "real time"])
def test_it_gets_no_more_than_its_share(found: dict[str, Any], attempt: str) -> None:
    if found["backend"] != GVISOR or attempt == "raise own limits":  # which has a scheduler of its own
        assert found[attempt] in {"EPERM", "EACCES"}


def test_it_ends_nobody(found: dict[str, Any]) -> None:
    assert found["kill everybody"] in {"ESRCH", "EPERM"}


def test_nothing_of_the_kernels_folders_can_be_written(found: dict[str, Any]) -> None:
    # Docker cannot be told to mask more than it does: how busy the machine is shows there.
    shown = {f"/proc/pressure/{name}" for name in ("cpu", "io", "memory")} if found["backend"] == "docker" else set()
    assert set(found["writable in the kernel's folders"]) <= shown


def test_neither_the_kernels_addresses_nor_how_busy_the_machine_is_show(found: dict[str, Any]) -> None:
    assert found["kernel addresses"] == 0
    assert found["pressure"] == [] or found["backend"] == "docker"


def test_it_sees_neither_the_evaluators_processes_nor_its_environment(found: dict[str, Any]) -> None:
    text = found["of all processes"] + json.dumps(found["files about hosts"])
    for secret in (SECRET, "PYTEST_CURRENT_TEST", sys.executable, str(Path.cwd())):
        assert secret not in text


@pytest.mark.parametrize("attempt", ["execute from /tmp", "execute from /out", "execute from /dev/shm"])
def test_what_it_writes_cannot_be_executed(found: dict[str, Any], attempt: str) -> None:
    assert found[attempt] == "EACCES"


@pytest.mark.parametrize("attempt", ["fill /tmp", "fill /dev/shm"])
def test_what_it_fills_is_small(found: dict[str, Any], attempt: str) -> None:
    assert found[attempt] in {"ENOSPC", "EFBIG"}


def test_it_is_nobody(found: dict[str, Any]) -> None:
    assert found["uid"] == 10001
    # Docker has one map for all its containers, or none: its check and its receipts say which.
    assert all(owner >= 1_000_000 for owner in found["owners"]) or found["backend"] == "docker"
    assert found["owners"]
    status = found["status"]
    assert {int(value, 16) for name, value in status.items() if name.startswith("Cap")} == {0}
    assert status["Seccomp:"] == "2"
    # gVisor's kernel tells nothing of this one; the engine's report does.
    assert status.get("NoNewPrivs:", "1") == "1"


def test_it_learns_nothing_of_the_run(found: dict[str, Any]) -> None:
    assert found["hostname"] == "sandbox"
    assert found["network"] == ["lo"]
    assert "palimpsest" not in found["cgroup"]
    assert len(found["processes"]) <= 2


@pytest.fixture(scope="module")
def created(sandbox: EngineSandbox, tmp_path_factory: pytest.TempPathFactory) -> tuple[ContainerSpec, dict[str, Any]]:
    """A server's container before its start: what was asked for, and what the engine says of it."""
    state = tmp_path_factory.mktemp("state")
    state.chmod(0o755)
    image = probe_image(sandbox.home, engine=sandbox.engine)
    mounts = (Mount(state, "/state"),)
    spec = ContainerSpec(f"f{os.getpid()}", "serve", image, ("serve", "serve"), mounts, {}, LIMITS)
    container = Container.open(
        sandbox.engine, spec, image_id=image, volume_name="sock", size_kb=64, files=8, lifetime_s=5
    )
    try:
        return spec, container.report()
    finally:
        container.close()


def test_every_flag_is_seen_by_the_engine(
    sandbox: EngineSandbox, created: tuple[ContainerSpec, dict[str, Any]]
) -> None:
    spec, report = created
    assert sandbox.engine.flags_wrong(report, spec) == []
    assert report["Config"]["Labels"]["palimpsest.run"] == spec.run_id
    assert report["Config"]["Labels"]["palimpsest.role"] == "serve"
    assert report["Name"].removeprefix("/") == f"palimpsest-{spec.run_id}-serve"
    limits = {item["Name"].removeprefix("RLIMIT_").lower(): item["Hard"] for item in report["HostConfig"]["Ulimits"]}
    assert (limits["nofile"], limits["core"]) == (1024, 0)
    if sandbox.name != "docker":  # which ends no container by itself
        assert report["Config"]["Timeout"] == 5 + flags.BACKSTOP_S


DROPPED: list[tuple[str, dict[str, Any]]] = [
    ("", {"NetworkMode": "bridge"}),
    ("", {"ReadonlyRootfs": False}),
    ("", {"Privileged": True}),
    ("", {"SecurityOpt": []}),
    ("", {"Memory": 0}),
    ("", {"PidsLimit": 0}),
    ("", {"LogConfig": {"Type": "k8s-file"}}),
    ("", {"Devices": [{"PathOnHost": "/dev/kvm"}]}),
    ("", {"Tmpfs": {"/tmp": "rw"}}),
    ("podman", {"IDMappings": None}),
    ("podman", {"Binds": ["/:/host:rw,noexec"]}),
    ("docker", {"CapDrop": []}),
    ("docker", {"CapAdd": ["SYS_ADMIN"]}),
    ("docker", {"Runtime": "other"}),
    ("docker", {"PidMode": "host"}),
    ("docker", {"UsernsMode": "host"}),
    ("docker", {"SecurityOpt": ["no-new-privileges", "seccomp={}"]}),
]


def test_a_flag_that_the_engine_dropped_is_noticed(
    sandbox: EngineSandbox, created: tuple[ContainerSpec, dict[str, Any]]
) -> None:
    spec, report = created
    for engine, change in DROPPED:
        if engine in ("", sandbox.engine.program):
            changed = report | {"HostConfig": report["HostConfig"] | change}
            assert sandbox.engine.flags_wrong(changed, spec), change
    if sandbox.engine.program == "podman":
        assert sandbox.engine.flags_wrong(report | {"OCIRuntime": "crun"}, spec)
    else:
        mounted = [*report["Mounts"], {"Destination": "/host", "RW": True}]
        assert sandbox.engine.flags_wrong(report | {"Mounts": mounted}, spec)


def test_a_server_that_puts_a_link_in_place_of_its_socket_leads_nowhere(
    podman: PodmanSandbox, spec: SpecMaker, intruder: str, tmp_path: Path
) -> None:
    """Between the check of its health and the first question; and it learns nothing of who asks."""
    with serving(answers([])) as (host, seen):
        made = spec("turncoat", str(host), role="serve", image=intruder)
        with podman.serve(made, scratch=tmp_path, log=tmp_path / "serve.log", ready_s=5.0) as server:
            assert server.socket.is_symlink()
            subject = RemoteModel(server.socket, seed=0, timeout_s=1.0)
            with pytest.raises(EvaluationFailed) as caught:
                subject.generate([[1]], max_tokens=1, stop=[])
            end = time.monotonic() + 5
            while "descriptors" not in (said := server.log_tail()) and time.monotonic() < end:
                time.sleep(0.05)
        assert caught.value.code is FailureCode.SERVER_DIED
        assert seen == []
    peer, descriptors = said.splitlines()[:2]
    assert peer.split()[1] == "0", "a process of another namespace has no number here"
    assert peer.split()[2:] == ["65534", "65534"]
    assert descriptors == "descriptors 0"


def test_a_link_left_in_the_output_leads_nowhere(podman: PodmanSandbox, spec: SpecMaker, tmp_path: Path) -> None:
    """From the container over the mounted volume to intake: the link is refused, the file behind it never opened."""
    made = spec("symlink", "/etc/shadow", "result.json")
    with podman.unlearn(made, scratch=tmp_path, log=tmp_path / "run.log") as ended:
        assert ended.failure is None, ended.detail
        assert (ended.out_dir / "result.json").is_symlink()
        with pytest.raises(OSError, match="symbolic links"):
            (ended.out_dir / "result.json").read_bytes()
        with pytest.raises(EvaluationFailed) as caught:
            seal(
                ended.out_dir,
                tmp_path / "sealed",
                base=BaseTensors({}),
                base_sha256="0" * 64,
                division="weights",
                limits=LIMITS,
            )
    assert caught.value.code is FailureCode.OUTPUT_REFUSED
