"""A method in a real container of each engine: what it leaves, how its end is told, that nothing of it stays."""

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
from evaluator.sandbox import PodmanSandbox
from evaluator.sandbox.engines.lifecycle import EngineSandbox
from evaluator.sandbox.health import UnixConnection
from evaluator.sandbox.output import KEPT_BYTES
from tests.evaluator.sandbox.archives import upload
from tests.evaluator.sandbox.containers import MANIFEST, SpecMaker, bad_end_check, leftovers, probe_image, run

pytestmark = pytest.mark.container


def test_the_output_is_readable_until_the_context_closes(
    sandbox: EngineSandbox, spec: SpecMaker, tmp_path: Path
) -> None:
    with sandbox.unlearn(spec("write", "a.txt", "hello"), scratch=tmp_path, log=tmp_path / "run.log") as ended:
        assert (ended.code, ended.failure) == (0, None)
        assert (ended.out_dir / "a.txt").read_text() == "hello"
        assert 0 < ended.wall_s < 10
        assert ended.peak_mb is not None
        assert 0 < ended.peak_mb < 256
    assert not ended.out_dir.exists()
    assert leftovers(sandbox, spec()) == []


@pytest.mark.parametrize(
    ("arguments", "limits", "failure"),
    [
        (("leave", "1"), {}, FailureCode.METHOD_ERROR),
        (("memory",), {"ram_mb": 64}, FailureCode.OUT_OF_MEMORY),
        (("processes",), {"pids": 24}, FailureCode.TOO_MANY_PROCESSES),
        (("disk",), {"out_mb": 4}, FailureCode.OUTPUT_TOO_LARGE),
        (("sleep",), {"wall_s": 1}, FailureCode.TIMEOUT),
    ],
)
def test_each_bad_end_has_its_code(
    sandbox: EngineSandbox,
    spec: SpecMaker,
    tmp_path: Path,
    arguments: tuple[str, ...],
    limits: dict[str, float],
    failure: FailureCode,
) -> None:
    bad_end_check(sandbox, spec(*arguments, **limits), tmp_path, failure)


def test_an_image_that_is_not_here_is_unavailable(sandbox: EngineSandbox, spec: SpecMaker, tmp_path: Path) -> None:
    with pytest.raises(EvaluationFailed) as caught:
        run(sandbox, spec("say", image="sha256:" + "0" * 64), tmp_path)
    assert caught.value.code is FailureCode.IMAGE_UNAVAILABLE


def test_an_uploaded_archive_is_looked_through_and_runs(
    podman: PodmanSandbox, sandbox: EngineSandbox, spec: SpecMaker, tmp_path: Path
) -> None:
    image = probe_image(podman.home, "probe-upload", env={"WHY": sandbox.name})
    podman.engine.run("save", "--quiet", "--output", str(tmp_path / "archive"), image.removeprefix("sha256:"))
    reference = upload(sandbox.home, (tmp_path / "archive").read_bytes())
    report = sandbox.inspect(reference, MANIFEST)
    assert (report.ok, report.image, report.image_id) == (True, reference, image), report.problems
    assert run(sandbox, spec("write", image=reference), tmp_path).failure is None


def test_a_volume_of_an_image_is_refused_where_it_cannot_be_ignored(sandbox: EngineSandbox) -> None:
    image = probe_image(sandbox.home, "probe-volume", engine=sandbox.engine, volumes=("/data",))
    report = sandbox.inspect(image, MANIFEST)
    assert [problem["field"] for problem in report.problems] == (["volume"] if sandbox.name == "docker" else [])


def test_a_flood_of_output_is_bounded(sandbox: EngineSandbox, spec: SpecMaker, tmp_path: Path) -> None:
    ended = run(sandbox, spec("flood", "120"), tmp_path)
    assert ended.failure is None
    assert ended.detail.endswith("the end")
    assert (tmp_path / "run.log").stat().st_size < KEPT_BYTES + 200


def test_a_server_is_reached_over_its_socket(sandbox: EngineSandbox, spec: SpecMaker, tmp_path: Path) -> None:
    with sandbox.serve(spec("serve", role="serve"), scratch=tmp_path, log=tmp_path / "serve.log") as server:
        connection = UnixConnection(server.socket, 5.0)
        connection.request("GET", "/")
        assert json.loads(connection.getresponse().read()) == {"state": ["index.json"]}
        connection.close()
        assert server.alive()
        end = time.monotonic() + 5
        while "GET" not in server.log_tail() and time.monotonic() < end:
            time.sleep(0.02)
        assert "GET" in server.log_tail()
    assert not server.alive()
    assert leftovers(sandbox, spec(role="serve")) == []


def test_a_server_that_dies_says_so(sandbox: EngineSandbox, spec: SpecMaker, tmp_path: Path) -> None:
    with sandbox.serve(spec("serve", role="serve"), scratch=tmp_path, log=tmp_path / "serve.log") as server:
        connection = UnixConnection(server.socket, 5.0)
        connection.request("GET", "/die")
        with pytest.raises((http.client.HTTPException, OSError)):
            connection.getresponse()
        connection.close()
        end = time.monotonic() + 10
        while server.alive() and time.monotonic() < end:
            time.sleep(0.05)
        assert not server.alive()


_VICTIM = """
import pickle, sys
from pathlib import Path
from evaluator.contract import Limits
from evaluator.sandbox import ContainerSpec, Mount, sandbox_for
backend, home, image, run_id, source, switch = sys.argv[1:]
import evaluator.sandbox.engines.container as container
if switch == "off":
    container.ParentWatch = lambda *_: None
inputs = (Mount(Path(source), "/in"),)
spec = ContainerSpec(run_id, "unlearn", image, ("unlearn", "sleep"), inputs, {}, Limits(wall_s=60))
with sandbox_for(backend, Path(home)).unlearn(spec, scratch=Path(source), log=Path(source) / "run.log"):
    pass
"""


@pytest.mark.parametrize("switch", ["on", "off"])
def test_after_the_evaluator_is_killed_nothing_stays(
    sandbox: EngineSandbox, spec: SpecMaker, image: str, tmp_path: Path, switch: str
) -> None:
    made = spec("sleep")
    victim = subprocess.Popen(
        [
            sys.executable,
            "-c",
            _VICTIM,
            sandbox.name,
            str(sandbox.home),
            image,
            made.run_id,
            str(tmp_path / "in"),
            switch,
        ],
        start_new_session=True,
    )
    log = tmp_path / "in" / "run.log"
    end = time.monotonic() + 20
    while not (log.is_file() and "sleeping" in log.read_text()) and time.monotonic() < end:
        time.sleep(0.05)
    assert sandbox.sweep() == 0, "a run within its deadline is not swept"
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    if switch == "on":  # the container ends by itself
        end = time.monotonic() + 10
        while leftovers(sandbox, made) and time.monotonic() < end:
            time.sleep(0.1)
        assert leftovers(sandbox, made) == []
    else:
        assert sandbox.sweep(made.run_id) == 2, "one container and one mount"
    sandbox.sweep(made.run_id)
    assert leftovers(sandbox, made) == []
