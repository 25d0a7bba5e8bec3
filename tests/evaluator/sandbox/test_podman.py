"""A method in a container of podman: what it gets, the rarer ends, and what is not ready."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.sandbox import PodmanSandbox, Progressed
from tests.evaluator.sandbox.containers import SpecMaker, bad_end_check, leftovers, probe_image, run

pytestmark = pytest.mark.container


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
        (("leave", "125"), {}, FailureCode.METHOD_ERROR),
        (("leave", "127"), {}, FailureCode.METHOD_ERROR),
        (("leave", "137"), {}, FailureCode.METHOD_ERROR),
        (("memory_of_child",), {"ram_mb": 64}, FailureCode.OUT_OF_MEMORY),
        (("threads",), {"pids": 24}, FailureCode.TOO_MANY_PROCESSES),
        (("files",), {"out_files": 20}, FailureCode.OUTPUT_TOO_LARGE),
    ],
)
def test_each_rarer_bad_end_has_its_code(
    podman: PodmanSandbox,
    spec: SpecMaker,
    tmp_path: Path,
    arguments: tuple[str, ...],
    limits: dict[str, float],
    failure: FailureCode,
) -> None:
    bad_end_check(podman, spec(*arguments, **limits), tmp_path, failure)


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


def test_an_input_that_the_container_could_not_read_is_our_failure(
    podman: PodmanSandbox, spec: SpecMaker, tmp_path: Path
) -> None:
    made = spec("say")
    (tmp_path / "in" / "job.json").chmod(0o600)
    with pytest.raises(EvaluationFailed, match=r"job\.json") as caught:
        run(podman, made, tmp_path)
    assert caught.value.code is FailureCode.PLATFORM_ERROR


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
