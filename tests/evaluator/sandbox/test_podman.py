"""A method in a real container: what it gets, how its end is told, and that nothing of it stays."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.sandbox import ContainerExit, ContainerSpec, PodmanSandbox, Progressed
from evaluator.sandbox.health import UnixConnection
from evaluator.sandbox.mounts import RUNTIME, owner_key
from evaluator.sandbox.output import KEPT_BYTES
from tests.evaluator.sandbox.containers import SpecMaker, probe_image

pytestmark = pytest.mark.container


def run(sandbox: PodmanSandbox, spec: ContainerSpec, tmp_path: Path) -> ContainerExit:
    with sandbox.unlearn(spec, scratch=tmp_path / "scratch", log=tmp_path / "run.log") as ended:
        return ended


def leftovers(sandbox: PodmanSandbox, spec: ContainerSpec) -> list[str]:
    """Containers, mounts, folders and cgroups of a run."""
    found = sandbox.engine.run("ps", "-aq", "--filter", f"label=palimpsest.run={spec.run_id}").stdout.split()
    key = owner_key(sandbox.home, spec.run_id, spec.role)
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if key in line]
    found += [str(path) for path in RUNTIME.glob(f"{key}*")]
    return found + [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/palimpsest/{key}*")]


def test_the_output_is_readable_until_the_context_closes(
    podman: PodmanSandbox, spec: SpecMaker, tmp_path: Path
) -> None:
    with podman.unlearn(spec("write", "a.txt", "hello"), scratch=tmp_path, log=tmp_path / "run.log") as ended:
        assert (ended.code, ended.failure) == (0, None)
        assert (ended.out_dir / "a.txt").read_text() == "hello"
        assert 0 < ended.wall_s < 10
        assert ended.peak_mb is not None
        assert 0 < ended.peak_mb < 256
    assert not ended.out_dir.exists()
    assert leftovers(podman, spec()) == []


def test_it_gets_its_role_its_inputs_and_no_variable_of_ours(
    podman: PodmanSandbox, spec: SpecMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy.example:1")
    monkeypatch.setenv("DJANGO_SECRET_KEY", "secret")
    run(podman, spec("show"), tmp_path)
    shown = json.loads((tmp_path / "run.log").read_text())
    assert shown["argv"] == ["unlearn", "show"]
    assert shown["in"] == ["base", "job.json"]
    assert "secret" not in json.dumps(shown)
    wanted = {"PALIMPSEST_IN": "/in", "PALIMPSEST_OUT": "/out", "PALIMPSEST_THREADS": "1", "PALIMPSEST_TEST": "yes"}
    assert wanted.items() <= shown["env"].items()


def test_progress_lines_are_passed_on(podman: PodmanSandbox, spec: SpecMaker, tmp_path: Path) -> None:
    seen: list[Progressed] = []
    with podman.unlearn(spec("progress"), scratch=tmp_path, log=tmp_path / "run.log", on_progress=seen.append):
        pass
    assert seen[-1] == Progressed(0.75, "editing")
    assert all(0 <= item.fraction <= 1 for item in seen)


@pytest.mark.parametrize(
    ("arguments", "limits", "failure"),
    [
        (("leave", "1"), {}, FailureCode.METHOD_ERROR),
        (("leave", "125"), {}, FailureCode.METHOD_ERROR),
        (("leave", "127"), {}, FailureCode.METHOD_ERROR),
        (("leave", "137"), {}, FailureCode.METHOD_ERROR),
        (("memory",), {"ram_mb": 64}, FailureCode.OUT_OF_MEMORY),
        (("memory_of_child",), {"ram_mb": 64}, FailureCode.OUT_OF_MEMORY),
        (("processes",), {"pids": 24}, FailureCode.TOO_MANY_PROCESSES),
        (("threads",), {"pids": 24}, FailureCode.TOO_MANY_PROCESSES),
        (("disk",), {"out_mb": 4}, FailureCode.OUTPUT_TOO_LARGE),
        (("files",), {"out_files": 20}, FailureCode.OUTPUT_TOO_LARGE),
        (("sleep",), {"wall_s": 1}, FailureCode.TIMEOUT),
    ],
)
def test_each_bad_end_has_its_code(
    podman: PodmanSandbox,
    spec: SpecMaker,
    tmp_path: Path,
    arguments: tuple[str, ...],
    limits: dict[str, float],
    failure: FailureCode,
) -> None:
    began = time.monotonic()
    ended = run(podman, spec(*arguments, **limits), tmp_path)
    assert ended.failure is failure, ended.detail
    assert time.monotonic() - began < 15
    assert leftovers(podman, spec()) == []


def test_a_container_that_runs_out_of_memory_leaves_nothing_where_the_evaluator_works(
    podman: PodmanSandbox, spec: SpecMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's monitor writes a note into its working directory."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    ended = run(podman, spec("memory_of_child", ram_mb=64), tmp_path)
    assert ended.failure is FailureCode.OUT_OF_MEMORY
    assert list((tmp_path / "cwd").iterdir()) == []
    assert not ended.out_dir.parent.exists()


def test_an_entrypoint_that_is_not_there_is_a_failed_start(
    podman: PodmanSandbox, spec: SpecMaker, tmp_path: Path
) -> None:
    broken = probe_image(podman.home, "probe-broken", entrypoint=("/nowhere",))
    ended = run(podman, spec("say", image=broken), tmp_path)
    assert ended.failure is FailureCode.START_FAILED, ended.detail
    assert "nowhere" in ended.detail


def test_an_image_that_is_not_here_is_unavailable(podman: PodmanSandbox, spec: SpecMaker, tmp_path: Path) -> None:
    with pytest.raises(EvaluationFailed) as caught:
        run(podman, spec("say", image="sha256:" + "0" * 64), tmp_path)
    assert caught.value.code is FailureCode.IMAGE_UNAVAILABLE


def test_an_input_that_the_container_could_not_read_is_our_failure(
    podman: PodmanSandbox, spec: SpecMaker, tmp_path: Path
) -> None:
    made = spec("say")
    (tmp_path / "in" / "job.json").chmod(0o600)
    with pytest.raises(EvaluationFailed, match=r"job\.json") as caught:
        run(podman, made, tmp_path)
    assert caught.value.code is FailureCode.PLATFORM_ERROR


def test_a_flood_of_output_is_bounded(podman: PodmanSandbox, spec: SpecMaker, tmp_path: Path) -> None:
    ended = run(podman, spec("flood", "120"), tmp_path)
    assert ended.failure is None
    assert ended.detail.endswith("the end")
    assert (tmp_path / "run.log").stat().st_size < KEPT_BYTES + 200


def test_a_server_is_reached_over_its_socket(podman: PodmanSandbox, spec: SpecMaker, tmp_path: Path) -> None:
    with podman.serve(spec("serve", role="serve"), scratch=tmp_path, log=tmp_path / "serve.log") as server:
        connection = UnixConnection(server.socket, 5.0)
        connection.request("GET", "/")
        assert json.loads(connection.getresponse().read()) == {"state": ["index.json"]}
        connection.close()
        assert server.alive()
        assert "GET" in server.log_tail()
    assert not server.alive()
    assert leftovers(podman, spec(role="serve")) == []


def test_a_server_that_dies_says_so(podman: PodmanSandbox, spec: SpecMaker, tmp_path: Path) -> None:
    with podman.serve(spec("serve", role="serve"), scratch=tmp_path, log=tmp_path / "serve.log") as server:
        connection = UnixConnection(server.socket, 5.0)
        connection.request("GET", "/die")
        with pytest.raises((http.client.HTTPException, OSError)):
            connection.getresponse()
        connection.close()
        end = time.monotonic() + 10
        while server.alive() and time.monotonic() < end:
            time.sleep(0.05)
        assert not server.alive()


@pytest.mark.parametrize("how", ["never", "link", "sick"])
def test_a_server_that_does_not_answer_is_not_ready(
    podman: PodmanSandbox, spec: SpecMaker, tmp_path: Path, how: str
) -> None:
    began = time.monotonic()
    with (
        pytest.raises(EvaluationFailed) as caught,
        podman.serve(spec("serve", how, role="serve"), scratch=tmp_path, log=tmp_path / "l", ready_s=1.0),
    ):
        pass
    assert caught.value.code is FailureCode.SERVER_NOT_READY
    assert time.monotonic() - began < 8
    assert leftovers(podman, spec(role="serve")) == []


def test_a_server_that_ends_at_once_is_noticed_at_once(podman: PodmanSandbox, spec: SpecMaker, tmp_path: Path) -> None:
    began = time.monotonic()
    with (
        pytest.raises(EvaluationFailed, match="about to leave") as caught,
        podman.serve(spec("leave", "2", role="serve"), scratch=tmp_path, log=tmp_path / "l", ready_s=60.0),
    ):
        pass
    assert caught.value.code is FailureCode.SERVER_NOT_READY
    assert time.monotonic() - began < 10


def test_a_server_does_not_outlive_its_time(podman: PodmanSandbox, spec: SpecMaker, tmp_path: Path) -> None:
    made = spec("serve", role="serve", wall_s=2)
    with podman.serve(made, scratch=tmp_path, log=tmp_path / "serve.log") as server:
        end = time.monotonic() + 12
        while server.alive() and time.monotonic() < end:
            time.sleep(0.05)
        assert not server.alive()


_VICTIM = """
import pickle, sys
from pathlib import Path
from evaluator.contract import Limits
from evaluator.sandbox import ContainerSpec, Mount, PodmanSandbox
home, image, run_id, source, switch = sys.argv[1:]
import evaluator.sandbox.container as container
if switch == "off":
    container.DeadManSwitch = lambda *_: None
inputs = (Mount(Path(source), "/in"),)
spec = ContainerSpec(run_id, "unlearn", image, ("unlearn", "sleep"), inputs, {}, Limits(wall_s=60))
with PodmanSandbox(Path(home)).unlearn(spec, scratch=Path(source), log=Path(source) / "run.log"):
    pass
"""


@pytest.mark.parametrize("switch", ["on", "off"])
def test_after_the_evaluator_is_killed_nothing_stays(
    podman: PodmanSandbox, spec: SpecMaker, image: str, tmp_path: Path, switch: str
) -> None:
    made = spec("sleep")
    victim = subprocess.Popen(
        [sys.executable, "-c", _VICTIM, str(podman.home), image, made.run_id, str(tmp_path / "in"), switch],
        start_new_session=True,
    )
    log = tmp_path / "in" / "run.log"
    end = time.monotonic() + 20
    while not (log.is_file() and "sleeping" in log.read_text()) and time.monotonic() < end:
        time.sleep(0.05)
    assert podman.sweep() == 0, "a run within its deadline is not swept"
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    if switch == "on":  # the container ends by itself
        end = time.monotonic() + 10
        while leftovers(podman, made) and time.monotonic() < end:
            time.sleep(0.1)
        assert leftovers(podman, made) == []
    else:
        assert podman.sweep(made.run_id) == 2, "one container and one mount"
    podman.sweep(made.run_id)
    assert leftovers(podman, made) == []


def test_a_leftover_of_the_same_run_does_not_stop_the_next_attempt(
    podman: PodmanSandbox, spec: SpecMaker, tmp_path: Path
) -> None:
    made = spec("write")
    with (
        podman.unlearn(made, scratch=tmp_path, log=tmp_path / "one.log"),
        podman.unlearn(made, scratch=tmp_path, log=tmp_path / "two.log") as second,
    ):
        assert second.failure is None


def test_it_describes_itself(podman: PodmanSandbox) -> None:
    described = podman.describe()
    assert described["backend"] == "podman"
    assert described["runtime"].startswith("runc")
