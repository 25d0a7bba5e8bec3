"""Real containers for tests: whether this machine can, a small image made by our own builder, and specs for it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evaluator.contract import Limits, Manifest
from evaluator.sandbox import ContainerSpec, Mount, PodmanSandbox, Role
from evaluator.sandbox.hosts import LOCAL_REGISTRY
from evaluator.sandbox.images import folder_image_build
from evaluator.sandbox.oci import ImageConfig

PROBE = Path(__file__).with_name("probe")
ENTRYPOINT = ("/usr/bin/python3", "/opt/palimpsest/probe/entry.py")
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
MANIFEST = Manifest(contract=1, name="Probe", version="1", kind="control", division="weights", authors=("a test",))
LIMITS = Limits(wall_s=20, ram_mb=256, out_mb=16, out_files=50, pids=64, tmp_mb=16, shm_mb=16)

SpecMaker = Callable[..., ContainerSpec]


def probe_image(home: Path, name: str = "probe", folder: Path = PROBE, **config: object) -> str:
    settings = {"entrypoint": ENTRYPOINT, "env": ENVIRONMENT} | config
    return folder_image_build(home, folder, name=name, config=ImageConfig(**settings))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodmanSandbox]:
    """The backend on this machine; without an engine the tests are skipped, on CI they fail."""
    sandbox = PodmanSandbox(tmp_path_factory.mktemp("home"))
    if missing := sandbox.check():
        reason = "CONTAINER TESTS DID NOT RUN: " + "; ".join(missing)
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    yield sandbox
    sandbox.images.store.close()


@pytest.fixture(scope="session")
def image(podman: PodmanSandbox) -> str:
    return probe_image(podman.home)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real registry on this machine, where Debian's `docker-registry` is installed."""
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setenv(LOCAL_REGISTRY, "1")
    settings = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(tmp_path)}}, "http": {"addr": address}}
    (tmp_path / "registry.yml").write_text(json.dumps(settings))
    server = subprocess.Popen(["docker-registry", "serve", str(tmp_path / "registry.yml")], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection((address[:9], int(address[10:])), 1):
            break
        time.sleep(0.05)
    yield address
    server.terminate()
    server.wait()


@pytest.fixture
def spec(image: str, tmp_path: Path, request: pytest.FixtureRequest) -> SpecMaker:
    """`spec("sleep", "3")`: the probe with these arguments, a run id of its own, and an /in with one file."""
    (tmp_path / "in" / "base").mkdir(parents=True)
    (tmp_path / "in" / "job.json").write_text("{}")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    run_id = f"t{os.getpid()}-{abs(hash(request.node.nodeid)) % 10**10}"

    def make(*arguments: str, role: Role = "unlearn", image: str = image, **limits: float) -> ContainerSpec:
        if role == "unlearn":
            mounts = (Mount(tmp_path / "in", "/in"), Mount(tmp_path / "base", "/in/base"))
        else:
            (tmp_path / "state").mkdir(exist_ok=True)
            (tmp_path / "state" / "index.json").write_text("{}")
            mounts = (Mount(tmp_path / "state", "/state"), Mount(tmp_path / "base", "/base"))
        return ContainerSpec(
            run_id=run_id,
            role=role,
            image=image,
            args=(role, *arguments),
            mounts=mounts,
            env={"PALIMPSEST_TEST": "yes"},
            limits=LIMITS.model_copy(update=limits),
            threads=1,
        )

    return make
