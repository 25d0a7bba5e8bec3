"""Real containers for tests: whether this machine can, a small image made by our own builder, and specs for it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from evaluator.contract import FailureCode, Limits, Manifest
from evaluator.sandbox import ContainerExit, ContainerSpec, DockerSandbox, Mount, PodmanSandbox, Role, RunscSandbox
from evaluator.sandbox.engine_commands.base import ContainerEngine
from evaluator.sandbox.engines.lifecycle import EngineSandbox
from evaluator.sandbox.images.oci_layout import ImageConfig
from evaluator.sandbox.images.reference_image import folder_image_build
from evaluator.sandbox.images.registry_hosts import LOCAL_REGISTRY
from evaluator.sandbox.mounts import RUNTIME, owner_key

PROBE = Path(__file__).with_name("probe")
ENTRYPOINT = ("/usr/bin/python3", "/opt/palimpsest/probe/entry.py")
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
MANIFEST = Manifest(contract=1, name="Probe", version="1", kind="control", division="weights", authors=("a test",))
LIMITS = Limits(wall_s=20, ram_mb=256, out_mb=16, out_files=50, pids=64, tmp_mb=16, shm_mb=16)

S = TypeVar("S", bound=EngineSandbox)
SpecMaker = Callable[..., ContainerSpec]


def probe_image(
    home: Path, name: str = "probe", folder: Path = PROBE, engine: ContainerEngine | None = None, **config: object
) -> str:
    settings = {"entrypoint": ENTRYPOINT, "env": ENVIRONMENT} | config
    return folder_image_build(home, folder, name=name, config=ImageConfig(**settings), engine=engine)  # type: ignore[arg-type]


def usable(sandbox: S) -> S:
    """The backend, if this machine can run it; without its engine the tests are skipped, on CI podman's fail."""
    if missing := sandbox.check():
        reason = f"CONTAINER TESTS OF {sandbox.name} DID NOT RUN: " + "; ".join(missing)
        if os.environ.get("CI") and sandbox.name == "podman":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return sandbox


def run(sandbox: EngineSandbox, spec: ContainerSpec, tmp_path: Path) -> ContainerExit:
    with sandbox.unlearn(spec, scratch=tmp_path / "scratch", log=tmp_path / "run.log") as ended:
        return ended


def leftovers(sandbox: EngineSandbox, spec: ContainerSpec) -> list[str]:
    """Containers, mounts, folders and cgroups of a run."""
    found = sandbox.engine.run("ps", "-aq", "--filter", f"label=palimpsest.run={spec.run_id}").stdout.split()
    key = owner_key(sandbox.home, spec.run_id, spec.role)
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if key in line]
    found += [str(path) for path in RUNTIME.glob(f"{key}*")]
    return found + [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/palimpsest/{key}*")]


def bad_end_check(sandbox: EngineSandbox, spec: ContainerSpec, tmp_path: Path, failure: FailureCode) -> None:
    """A run that ends in `failure`, soon, and leaves nothing."""
    began = time.monotonic()
    ended = run(sandbox, spec, tmp_path)
    assert ended.failure is failure, ended.detail
    assert time.monotonic() - began < 15
    assert leftovers(sandbox, spec) == []


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodmanSandbox]:
    sandbox = usable(PodmanSandbox(tmp_path_factory.mktemp("home")))
    yield sandbox
    sandbox.images.store.close()


@pytest.fixture(scope="session")
def runsc(podman: PodmanSandbox) -> RunscSandbox:
    """On podman's store, so with the same images."""
    return usable(RunscSandbox(podman.home))


@pytest.fixture(scope="session")
def docker(podman: PodmanSandbox) -> Iterator[DockerSandbox]:
    """With a daemon of its own, which ends with the session."""
    if shutil.which("dockerd") is None:
        usable(DockerSandbox(podman.home))  # says what is missing
    with tempfile.TemporaryDirectory(prefix="palimpsest-docker-") as folder, docker_daemon(Path(folder)) as host:
        before = os.environ.get("DOCKER_HOST")
        os.environ["DOCKER_HOST"] = host
        try:
            yield usable(DockerSandbox(podman.home))
        finally:
            os.environ.pop("DOCKER_HOST")
            if before is not None:
                os.environ["DOCKER_HOST"] = before


@contextmanager
def docker_daemon(folder: Path) -> Iterator[str]:
    """A daemon without a network, its files in `folder`; what to set DOCKER_HOST to."""
    host = f"unix://{folder}/docker.sock"
    settings = {"iptables": False, "bridge": "none", "hosts": [host], "pidfile": f"{folder}/pid"}
    settings |= {"data-root": f"{folder}/data", "exec-root": f"{folder}/exec"}
    # Without CAP_SYS_RESOURCE its own default cannot be set.
    settings |= {"default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1024, "Hard": 1024}}}
    (folder / "daemon.json").write_text(json.dumps(settings))
    with (folder / "log").open("w") as log:
        command = ["dockerd", "--config-file", f"{folder}/daemon.json"]
        daemon = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        end = time.monotonic() + 20
        while not (folder / "docker.sock").exists() and daemon.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        if not (folder / "docker.sock").exists():
            pytest.skip(f"CONTAINER TESTS OF docker DID NOT RUN: {(folder / 'log').read_text()[-500:]}")
        yield host
    finally:
        daemon.terminate()
        daemon.wait(30)


#: Backends by the fixture that opens them.
ENGINES = {"podman": "podman", "podman-runsc": "runsc", "docker": "docker"}


@pytest.fixture(scope="session", params=ENGINES)
def sandbox(request: pytest.FixtureRequest) -> EngineSandbox:
    """Each backend with isolation in turn."""
    found: EngineSandbox = request.getfixturevalue(ENGINES[request.param])
    probe_image(found.home, engine=found.engine)
    return found


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
        with suppress(OSError), socket.create_connection((address[:9], int(address[10:])), 1):
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
