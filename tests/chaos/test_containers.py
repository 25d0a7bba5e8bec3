"""Somebody kills or removes a method's container behind our back: who is at fault, and that nothing stays."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.sandbox import ContainerExit, ContainerSpec, PodmanSandbox
from tests.chaos.site import Site
from tests.chaos.steps import ended_once
from tests.evaluator.sandbox.containers import SpecMaker, image, leftovers, podman, spec
from tests.leaderboard.conftest import manifest_make

__all__ = ["image", "podman", "spec"]
pytestmark = [pytest.mark.chaos, pytest.mark.container]


def container_of(sandbox: PodmanSandbox, run_id: str, role: str) -> tuple[str, int]:
    """The running container of a run and its process on the host."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        found = sandbox.engine.json("ps", "--format", "json", "--filter", f"label=palimpsest.run={run_id}") or []
        for item in found:
            if item["Pid"] and role in " ".join(item["Command"] or []):
                return item["Id"], item["Pid"]
        time.sleep(0.05)
    raise AssertionError(f"no container of {run_id} within 60 s")


def strike(sandbox: PodmanSandbox, run_id: str, how: str, *, role: str = "") -> None:
    """`kill -9` of its first process, or `podman rm -f`, by somebody who has nothing to do with the run."""
    ident, pid = container_of(sandbox, run_id, role)
    if how == "kill":
        os.kill(pid, signal.SIGKILL)
    else:
        while sandbox.engine.run("container", "exists", ident, check=False).returncode == 0:
            sandbox.engine.remove(ident)  # a mount of it may be busy the first time


def unlearn(sandbox: PodmanSandbox, spec: ContainerSpec, tmp_path: Path) -> ContainerExit:
    with sandbox.unlearn(spec, scratch=tmp_path / "scratch", log=tmp_path / "run.log") as ended:
        return ended


def test_a_container_that_was_removed_is_the_platforms_failure(
    podman: PodmanSandbox, spec: SpecMaker, tmp_path: Path
) -> None:
    given = spec("sleep", "30")
    threading.Thread(target=strike, args=(podman, given.run_id, "rm")).start()
    with pytest.raises(EvaluationFailed, match="removed from outside") as caught:
        unlearn(podman, given, tmp_path)
    assert caught.value.code is FailureCode.PLATFORM_ERROR
    assert leftovers(podman, given) == []


def test_a_container_killed_without_a_reason_that_we_can_see_is_told_apart(
    podman: PodmanSandbox, spec: SpecMaker, tmp_path: Path
) -> None:
    given = spec("sleep", "30")
    threading.Thread(target=strike, args=(podman, given.run_id, "kill")).start()
    ended = unlearn(podman, given, tmp_path)
    assert (ended.failure, ended.code, ended.killed_from_outside) == (FailureCode.METHOD_ERROR, 137, True)
    assert leftovers(podman, given) == []
    assert not unlearn(podman, spec("leave", "1"), tmp_path).killed_from_outside
    assert not unlearn(podman, spec("memory", ram_mb=64), tmp_path).killed_from_outside


def test_a_server_that_was_removed_says_that_it_was_lost_and_one_that_died_does_not(
    podman: PodmanSandbox, spec: SpecMaker, tmp_path: Path
) -> None:
    for how in ("rm", "kill"):
        given = spec("serve", role="serve")
        with podman.serve(given, scratch=tmp_path, log=tmp_path / "run.log") as server:
            assert server.alive()
            strike(podman, given.run_id, how)
            ends = time.monotonic() + 20
            while server.alive() and time.monotonic() < ends:
                time.sleep(0.05)
            assert not server.alive()
            assert ("removed from outside" in server.lost()) == (how == "rm")
        assert leftovers(podman, given) == []


@pytest.mark.parametrize(("how", "code"), [("rm", FailureCode.PLATFORM_ERROR), ("kill", FailureCode.SERVER_DIED)])
def test_a_server_struck_before_it_answers_is_not_called_slow(
    podman: PodmanSandbox, spec: SpecMaker, tmp_path: Path, how: str, code: FailureCode
) -> None:
    given = spec("sleep", "30", role="serve")
    threading.Thread(target=strike, args=(podman, given.run_id, how)).start()
    with pytest.raises(EvaluationFailed) as caught, podman.serve(given, scratch=tmp_path, log=tmp_path / "run.log"):
        pass
    assert caught.value.code is code
    assert leftovers(podman, given) == []


# ---------------------------------------------------------------- the whole way: site, worker, evaluator, container


@pytest.fixture
def container_site(toy_home: Path, reference_image: str, tmp_path: Path) -> Iterator[Site]:
    """A site whose real evaluator runs the reference image in real containers, on the toy world."""
    home = tmp_path / "home"
    shutil.copytree(toy_home, home, symlinks=True)
    site = Site(home, EVALUATOR_BACKEND="podman")
    yield site
    site.close()


@pytest.mark.torch
@pytest.mark.slow
def test_containers_struck_in_unlearn_and_in_serve_and_the_run_is_scored_all_the_same(
    container_site: Site, reference_image: str
) -> None:
    """Killed while it unlearns: started again. Removed while it serves: the platform's failure, and repeated."""
    site, sandbox = container_site, PodmanSandbox(container_site.home)
    manifest = manifest_make(
        name="Refuse everything",
        kind="in-context",
        division="system",
        run={"args": ["--method", "refuse_everything"]},
    )
    site.submit(image=reference_image, manifest=manifest, releases=["toy-world-5"], tryout=False)
    site.worker_start()
    site.wait(lambda: site.state() == "UNLEARNING", within_s=120)
    run_id = site.run_now()["id"]
    strike(sandbox, run_id, "kill", role="unlearn")
    site.wait(lambda: site.state() == "MEASURING", within_s=120)
    strike(sandbox, run_id, "rm", role="serve")
    site.wait(lambda: site.run_now()["attempt"] == 2, within_s=60)
    ended_once(site, attempt=2, within_s=180)
    assert "started once more" in (site.home / "runs" / run_id / "evaluator.log").read_text()
    assert sandbox.engine.json("ps", "-a", "--format", "json", "--filter", f"label=palimpsest.run={run_id}") in (
        None,
        [],
    )
