"""What a hostile method tries from inside its container, and that none of it works."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.intake import BaseTensors, seal
from evaluator.sandbox import ContainerSpec, Mount, PodmanSandbox, flags
from evaluator.sandbox.container import Container
from tests.evaluator.sandbox.containers import LIMITS, SpecMaker, probe_image

pytestmark = pytest.mark.container

READ_ONLY = {"EROFS", "EACCES", "EPERM"}
ABSENT = {"ENOENT", "EACCES", "EPERM"}
FORBIDDEN = {"EPERM"}


@pytest.fixture(scope="module")
def found(podman: PodmanSandbox, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each attempt came to: `intruder/entry.py`, in an image that also declares a volume."""
    folder = tmp_path_factory.mktemp("intruder")
    (folder / "in" / "base").mkdir(parents=True)
    (folder / "base").mkdir()
    for path in (folder / "in", folder / "base"):
        path.chmod(0o777)
    image = probe_image(
        podman.home,
        "intruder",
        Path(__file__).with_name("intruder"),
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
    with podman.unlearn(spec, scratch=folder, log=folder / "run.log") as ended:
        assert ended.code == 0, ended.detail
    result: dict[str, Any] = json.loads((folder / "run.log").read_text())
    return result


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


@pytest.mark.parametrize("attempt", ["execute from /tmp", "execute from /out", "execute from /dev/shm"])
def test_what_it_writes_cannot_be_executed(found: dict[str, Any], attempt: str) -> None:
    assert found[attempt] == "EACCES"


@pytest.mark.parametrize("attempt", ["fill /tmp", "fill /dev/shm"])
def test_what_it_fills_is_small(found: dict[str, Any], attempt: str) -> None:
    assert found[attempt] in {"ENOSPC", "EFBIG"}


def test_it_is_nobody(found: dict[str, Any]) -> None:
    assert found["uid"] == 10001
    assert int(found["host uid"]) >= 1_000_000
    *capabilities, no_new_privileges, seccomp = found["capabilities"].split()
    assert {int(item, 16) for item in capabilities} == {0}
    assert (no_new_privileges, seccomp) == ("1", "2")


def test_it_learns_nothing_of_the_run(found: dict[str, Any]) -> None:
    assert found["hostname"] == "sandbox"
    assert found["network"] == ["lo"]
    assert "palimpsest" not in found["cgroup"]
    assert len(found["processes"]) <= 2


def test_every_flag_is_seen_by_the_engine(podman: PodmanSandbox, spec: SpecMaker) -> None:
    made = spec("say")
    container = Container.open(
        podman.engine, made, image_id=made.image, volume_name="out", size_kb=1024, files=10, lifetime_s=5
    )
    try:
        report = container.report()
    finally:
        container.close()
    assert flags.flags_wrong(report, made) == []
    assert report["Config"]["Labels"]["palimpsest.run"] == made.run_id
    assert report["Config"]["Labels"]["palimpsest.role"] == "unlearn"
    assert report["Name"] == f"palimpsest-{made.run_id}-unlearn"
    assert report["Config"]["Timeout"] == 5 + flags.BACKSTOP_S
    limits = {item["Name"]: item["Hard"] for item in report["HostConfig"]["Ulimits"]}
    assert limits["RLIMIT_NOFILE"] == 1024
    assert limits["RLIMIT_CORE"] == 0


def test_a_flag_that_the_engine_dropped_is_noticed(podman: PodmanSandbox, spec: SpecMaker) -> None:
    made = spec("serve", role="serve")
    container = Container.open(
        podman.engine, made, image_id=made.image, volume_name="sock", size_kb=64, files=8, lifetime_s=5
    )
    try:
        report = container.report()
    finally:
        container.close()
    assert flags.flags_wrong(report, made) == []
    dropped: list[dict[str, Any]] = [
        {"NetworkMode": "bridge"},
        {"ReadonlyRootfs": False},
        {"Privileged": True},
        {"SecurityOpt": []},
        {"Memory": 0},
        {"PidsLimit": 0},
        {"IDMappings": None},
        {"LogConfig": {"Type": "k8s-file"}},
        {"Devices": [{"PathOnHost": "/dev/kvm"}]},
        {"Binds": ["/:/host:rw,noexec"]},
    ]
    for change in dropped:
        changed = report | {"HostConfig": report["HostConfig"] | change}
        assert flags.flags_wrong(changed, made), change


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
