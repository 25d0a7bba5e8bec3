"""The demo's own promises: clear refusals, one demo per data folder, services that come back and go down together."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.people import credentials_read, credentials_write
from deploy.demo.plan import DemoError, Plan, plan_read
from deploy.demo.preflight import home_lock, port_check
from deploy.demo.processes import Service, Supervisor
from deploy.demo.screen import Row
from deploy.demo.site import entries_find
from deploy.demo.steps import Step, bake_step, release_step, step_run
from evaluator.benchmark.catalogue import benchmark_get
from evaluator.pipeline import baking

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_read({"PALIMPSEST_HOME": str(tmp_path / "home"), "PORT": "8000"})


@pytest.mark.parametrize("port", ["0", "65536", "eighty", "-1", "8000.5"])
def test_a_port_that_is_none_is_refused_by_name(port: str) -> None:
    with pytest.raises(DemoError, match=f"PORT='{port}'"):
        plan_read({"PORT": port})


def test_an_unknown_backend_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DemoError, match=r"DEMO_BACKEND='kubernetes'.*process"):
        plan_read({"DEMO_BACKEND": "kubernetes"})


def test_a_taken_port_is_one_clear_error_that_names_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        environment = os.environ | {
            "PALIMPSEST_HOME": str(tmp_path),
            "PORT": str(port),
            "DEMO_BACKEND": "process",
        }
        done = subprocess.run(
            [sys.executable, "-m", "deploy.demo"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 1
    assert done.stderr.startswith(f"demo: PORT={port} is taken")
    assert done.stderr.count("\n") == 1


def test_a_free_port_passes(plan: Plan) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    port_check(plan_read({"PORT": str(port)}))


def test_two_demos_do_not_share_a_data_folder(plan: Plan) -> None:
    held = home_lock(plan.home)
    with pytest.raises(DemoError, match=f"process {os.getpid()}.*PALIMPSEST_HOME"):
        home_lock(plan.home)
    held.close()
    home_lock(plan.home).close()


def test_passwords_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    credentials_write(path, {"author": {"username": "a", "password": "b"}})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert credentials_read(path)["author"]["password"] == "b"
    path.write_text("{half a fi")
    assert credentials_read(path) == {}


def test_the_demo_submits_eight_methods_or_those_that_are_asked_for() -> None:
    def named(asked: dict[str, str]) -> list[str]:
        return [entry.folder.name for entry in entries_find(plan_read(asked).methods)]

    assert len(named({})) == 8
    assert named({"DEMO_METHODS": "memit, rome"}) == ["memit", "rome"]
    everything = entries_find(plan_read({"DEMO_METHODS": "all"}).methods)
    assert {entry.folder.name for entry in everything} > set(named({}))
    assert len({entry.name for entry in everything}) == len(everything)


def test_a_method_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(DemoError, match="DEMO_METHODS: 'romme' is no method"):
        entries_find(plan_read({"DEMO_METHODS": "romme"}).methods)


def test_a_board_of_an_older_version_is_followed_by_its_next_round(tmp_path: Path) -> None:
    def boards() -> list[str]:
        return [board.slug for board in plan_read({"PALIMPSEST_HOME": str(tmp_path)}).boards]

    def built(slug: str, version: str) -> None:
        (tmp_path / "cards").mkdir(exist_ok=True)
        (tmp_path / "cards" / f"{slug}.json").write_text(json.dumps({"version": version}))

    assert boards() == ["pretrained-facts-10"]
    built("pretrained-facts-10", "1")
    assert boards() == ["pretrained-facts-10-r2"]
    built("pretrained-facts-10-r2", "2")
    plan = plan_read({"PALIMPSEST_HOME": str(tmp_path)})
    assert [board.slug for board in plan.boards] == ["pretrained-facts-10-r3"]
    assert [board.slug for board in plan.boards[0].earlier] == ["pretrained-facts-10", "pretrained-facts-10-r2"]
    assert release_step(plan, plan.boards[0]).command[-2:] == ("--round", "3")
    built("pretrained-facts-10-r3", benchmark_get("pretrained-facts").version)
    assert boards() == ["pretrained-facts-10-r3"]


def test_the_demo_judges_on_ten_requests_or_on_the_sizes_that_are_asked_for() -> None:
    assert [board.slug for board in plan_read({}).boards] == ["pretrained-facts-10"]
    asked = plan_read({"DEMO_SIZES": "20, 50 20"})
    assert [board.slug for board in asked.boards] == ["pretrained-facts-20", "pretrained-facts-50"]
    assert [release.slug for release in asked.extras] == ["pretrained-facts-20-public"]
    # The base knows too few public facts for more.
    assert [release.slug for release in plan_read({"DEMO_SIZES": "50"}).extras] == ["pretrained-facts-20-public"]


def test_a_run_gets_at_most_two_threads_or_as_many_as_are_asked_for() -> None:
    assert plan_read({}).threads in (1, 2)
    assert plan_read({"EVALUATOR_THREADS": "3"}).threads == 3
    with pytest.raises(DemoError, match="EVALUATOR_THREADS='none' is no number of threads"):
        plan_read({"EVALUATOR_THREADS": "none"})


def test_submissions_are_looked_at_while_every_run_is_busy() -> None:
    assert plan_read({}).workers == 2
    many = plan_read({"RUNS_PER_HOST": "3"})
    assert many.workers == 4 and many.environment()["RUNS_PER_HOST"] == "3"
    with pytest.raises(DemoError, match="RUNS_PER_HOST='0' is no number of runs"):
        plan_read({"RUNS_PER_HOST": "0"})


def test_what_trains_apart_from_the_requests_is_trained_before_the_image_is_built() -> None:
    assert plan_read({}).baked == ()
    assert plan_read({"DEMO_METHODS": "rome lte"}).baked == ("lte",)
    everything = plan_read({"DEMO_METHODS": "all"})
    assert everything.baked == baking.METHODS
    step = bake_step(everything, "recipe")
    assert not step.done() and step.command[-5:-2] == ("bake", "--method", "recipe")


@pytest.mark.parametrize("sizes", ["0", "ten", "-5", "20 5.5"])
def test_a_size_that_is_none_is_refused_by_name(sizes: str) -> None:
    with pytest.raises(DemoError, match=f"DEMO_SIZES: '{sizes.split()[-1]}' is no number of requests"):
        plan_read({"DEMO_SIZES": sizes})


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[tuple[Supervisor, list[str]]]:
    said: list[str] = []
    found = Supervisor(cwd=tmp_path, environment=os.environ, say=said.append)
    yield found, said
    found.stop()


def until(condition: Callable[[], bool], supervisor: Supervisor, *, seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        supervisor.tick()
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_a_service_killed_with_kill_9_comes_back(tmp_path: Path, supervisor: tuple[Supervisor, list[str]]) -> None:
    watcher, said = supervisor
    pids = tmp_path / "pids"
    watcher.start(Service("sleeper", ["sh", "-c", f"echo $$ >> {pids}; exec sleep 60"], tmp_path / "log"))
    assert until(lambda: pids.is_file() and bool(pids.read_text()), watcher)
    os.kill(int(pids.read_text()), signal.SIGKILL)
    assert until(lambda: len(pids.read_text().split()) == 2, watcher)
    assert "killed by SIGKILL" in said[0]
    assert watcher.alive("sleeper")


def test_a_service_that_keeps_falling_is_started_ever_more_slowly(
    tmp_path: Path, supervisor: tuple[Supervisor, list[str]]
) -> None:
    watcher, said = supervisor
    watcher.start(Service("faller", ["sh", "-c", "exit 3"], tmp_path / "log"))
    assert until(lambda: len(said) == 3, watcher)
    assert ["in 1 s" in said[0], "in 2 s" in said[1], "in 4 s" in said[2]] == [True] * 3
    assert "exit status 3" in said[0]


def test_a_service_takes_its_children_down_with_it(tmp_path: Path, supervisor: tuple[Supervisor, list[str]]) -> None:
    watcher, _ = supervisor
    child = tmp_path / "child"
    watcher.start(Service("parent", ["sh", "-c", f"sleep 60 & echo $! > {child}; wait"], tmp_path / "log"))
    assert until(lambda: child.is_file() and bool(child.read_text()), watcher)
    watcher.stop()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and not _gone(int(child.read_text())):
        time.sleep(0.05)
    assert _gone(int(child.read_text()))


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_step_that_fails_shows_the_end_of_its_log(plan: Plan) -> None:
    command = (sys.executable, "-c", "import sys; sys.exit('no weights here')")
    with pytest.raises(DemoError, match=r"(?s)thing could not be prepared \(exit status 1\).*no weights here"):
        step_run(plan, Step("thing", command, lambda: False), wait=time.sleep, show=lambda _: None)


def test_a_step_gives_the_last_line_that_its_program_printed(plan: Plan) -> None:
    command = (sys.executable, "-c", "print('working'); print('sha256:abc')")
    step = Step("thing", command, lambda: False)
    assert step_run(plan, step, wait=time.sleep, show=lambda _: None) == "sha256:abc"


def test_a_row_keeps_time_from_its_first_move_to_its_end() -> None:
    row = Row("rome")
    run: dict[str, Any] = {"state": "QUEUED", "stage": "", "fraction": None, "failure_code": "", "scores": []}
    assert row.take(run, 10.0)
    assert row.elapsed(20.0) == ""
    assert row.take(run | {"state": "MEASURING", "stage": "measuring", "fraction": 0.5}, 30.0)
    assert (row.stage, row.elapsed(95.0)) == ("measuring 50%", "1:05")
    assert row.take(run | {"state": "SCORED", "scores": [{"key": "har", "value": 0.5}]}, 100.0)
    assert (row.elapsed(500.0), row.scores) == ("1:10", {"har": 0.5})
