"""What a hostile method uses up, leaves behind and takes from others: all of it is bounded, and nothing stays."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from evaluator.artifact import BaseTensors, seal
from evaluator.contract import EvaluationFailed, FailureCode, Limits
from evaluator.performance.machine import peak_mb, peak_reset, resident_mb
from evaluator.sandbox import ContainerExit, ContainerSpec, PodmanSandbox, Progressed
from evaluator.sandbox.engines import lifecycle as backend
from evaluator.sandbox.flags import id_map
from evaluator.sandbox.mounts import owner_key
from evaluator.sandbox.output import KEPT_BYTES, Output
from tests.evaluator.sandbox.containers import SpecMaker, leftovers

pytestmark = pytest.mark.container

RAM_MB = 64
#: Every place has more room than the memory it lies in.
ROOMY = Limits(wall_s=20, ram_mb=RAM_MB, out_mb=256, out_files=10_000_000, pids=48, tmp_mb=256, shm_mb=256)

Start = Callable[..., Any]


def run_of(program: str) -> str:
    return f"h{os.getpid()}-{program.replace('_', '-')}"


@pytest.fixture
def start(podman: PodmanSandbox, intruder: str, tmp_path: Path) -> Start:
    """`with start("flood", wall_s=2) as ended`: one program of `intruder/hog.py` in a container of its own."""

    @contextmanager
    def go(
        *arguments: str, run: str = "", seen: list[Progressed] | None = None, **limits: float
    ) -> Iterator[ContainerExit]:
        run_id = run_of(run or arguments[0])
        spec = ContainerSpec(
            run_id, "unlearn", intruder, ("unlearn", *arguments), (), {}, ROOMY.model_copy(update=limits), threads=1
        )
        seen = [] if seen is None else seen
        with podman.unlearn(spec, scratch=tmp_path, log=tmp_path / f"{run_id}.log", on_progress=seen.append) as ended:
            yield ended
        assert leftovers(podman, spec) == []

    return go


def sealed(ended: ContainerExit, target: Path) -> str:
    """What intake says to what was left."""
    with pytest.raises(EvaluationFailed) as caught:
        seal(ended.out_dir, target, base=BaseTensors({}), base_sha256="0" * 64, division="weights", limits=ROOMY)
    assert not target.exists()
    return f"{caught.value.code.value}: {caught.value.detail}"


def state(folder: Path) -> dict[str, tuple[int, int, int]]:
    found = {name: os.lstat(folder / name) for name in os.listdir(folder)}
    return {name: (item.st_ino, item.st_size, item.st_mtime_ns) for name, item in found.items()}


def processes(sandbox: PodmanSandbox, program: str) -> int:
    """How many processes the kernel counts in the container of a program."""
    key = owner_key(sandbox.home, run_of(program), "unlearn")
    found = Path("/sys/fs/cgroup").glob(f"pids/palimpsest/{key}-*/libpod-*/pids.current")
    return max((int(path.read_text()) for path in found), default=0)


def test_a_fork_bomb_is_held_at_its_limit_and_is_gone_at_its_deadline(start: Start, podman: PodmanSandbox) -> None:
    most, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            with contextlib.suppress(OSError):
                most[0] = max(most[0], processes(podman, "bomb"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.monotonic()
    with start("bomb", wall_s=2) as ended:
        assert ended.failure is FailureCode.TIMEOUT
        assert "begun" in ended.detail
    stop.set()
    watcher.join()
    assert 1 < most[0] <= ROOMY.pids
    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    "program",
    [
        ("fill", "/tmp"),
        ("fill", "/dev/shm"),
        ("fill", "/out"),
        ("inodes", "/tmp"),
        ("inodes", "/dev/shm"),
        ("inodes", "/out"),
        ("memory_file",),
        ("shared_memory",),
    ],
    ids=" ".join,
)
def test_what_lies_in_memory_counts_as_memory_wherever_it_lies(start: Start, program: tuple[str, ...]) -> None:
    """Files, names of files, anonymous files, segments: more than its memory ends the method, not the machine."""
    with start(*program, run="-".join(program).replace("/", "").replace("_", "-")) as ended:
        assert ended.failure is FailureCode.OUT_OF_MEMORY, ended.detail


@pytest.mark.parametrize(("where", "limit"), [("/tmp", "tmp_mb"), ("/dev/shm", "shm_mb"), ("/out", "out_mb")])
def test_a_place_is_full_at_its_size(start: Start, where: str, limit: str) -> None:
    with start("fill", where, **{limit: 4}) as ended:
        assert "full" in ended.detail, ended.detail
        assert "16 MB" not in ended.detail
        expected = FailureCode.OUTPUT_TOO_LARGE if where == "/out" else FailureCode.METHOD_ERROR
        assert ended.failure is expected


def test_the_number_of_files_in_the_output_is_bounded(start: Start) -> None:
    with start("inodes", "/out", out_files=100) as ended:
        assert ended.failure is FailureCode.OUTPUT_TOO_LARGE
        assert len(os.listdir(ended.out_dir)) <= 102


@pytest.mark.parametrize("program", ["fill", "inodes"])
def test_a_server_has_room_for_a_socket_and_little_else(
    podman: PodmanSandbox, spec: SpecMaker, intruder: str, tmp_path: Path, program: str
) -> None:
    made = spec(program, "/run/palimpsest", role="serve", image=intruder)
    with pytest.raises(EvaluationFailed) as caught, podman.serve(made, scratch=tmp_path, log=tmp_path / "l", ready_s=5):
        pass
    assert caught.value.code is FailureCode.SERVER_NOT_READY
    said = caught.value.detail.splitlines()
    assert "full" in said and "16 MB" not in said if program == "fill" else int(said[-1].split()[2]) < 10, said


def test_buffers_of_the_kernel_are_bounded(start: Start) -> None:
    with start("pipes") as ended:
        pipes, filled = (int(ended.detail.split()[place]) for place in (-3, -1))
        assert pipes < 512
        assert filled <= RAM_MB << 20


def test_output_without_end_fills_neither_memory_nor_disk(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its speed it would be ten gigabytes within minutes; two seconds of it show where it goes: nowhere."""
    made: list[Output] = []

    def recorded(*arguments: Any, **options: Any) -> Output:
        made.append(Output(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(backend, "Output", recorded)
    peak_reset()
    before, seen, began = resident_mb(), list[Progressed](), time.monotonic()
    with start("flood", wall_s=2, seen=seen) as ended:
        assert ended.failure is FailureCode.TIMEOUT
        assert time.monotonic() - began < 7, "what it still has to say holds nobody up"
    assert made[0].received > 20 << 20, "it did print a lot"
    assert peak_mb() - before < 64
    logs = [path.stat().st_size for path in tmp_path.iterdir() if path.is_file()]
    assert sum(logs) < 2 * KEPT_BYTES
    assert len(seen) < 60, "progress is passed on a few times a second, not with every line"
    assert {item.stage for item in seen} <= {""}


def test_a_child_that_stays_behind_is_dead_before_its_output_is_read(
    start: Start, podman: PodmanSandbox, tmp_path: Path
) -> None:
    """It writes, renames and swaps a file for a link as fast as it can: between end and check, nothing moves."""
    with start("survivor", out_mb=4) as ended:
        assert (ended.code, ended.failure) == (0, None), ended.detail
        first = state(ended.out_dir)
        assert int((ended.out_dir / "late.txt").read_text()) >= 50
        time.sleep(0.3)
        assert state(ended.out_dir) == first
        assert processes(podman, "survivor") == 0
        assert sealed(ended, tmp_path / "sealed")


def test_a_pipe_cannot_even_be_made(start: Start) -> None:
    """Opening one would wait for its writer; intake does not wait either (tests/evaluator/artifact)."""
    with start("pipe_as_result", out_mb=4) as ended:
        assert "PermissionError" in ended.detail
        assert os.listdir(ended.out_dir) == []


def test_thousands_of_sockets_are_refused_at_the_first(start: Start, tmp_path: Path) -> None:
    with start("sockets", out_mb=16, out_files=5000) as ended:
        made = int(ended.detail.split()[-1])
        assert 1000 < made <= 5002
        began = time.monotonic()
        assert "is a socket" in sealed(ended, tmp_path / "sealed")
        assert time.monotonic() - began < 2


def test_a_made_up_result_is_only_a_file_of_the_wrong_name(start: Start, tmp_path: Path) -> None:
    """Neither what it leaves under the names of our own files nor what it prints is taken for ours."""
    seen: list[Progressed] = []
    with start("forge", out_mb=4, seen=seen) as ended:
        assert ended.failure is None
        said = sealed(ended, tmp_path / "sealed")
    assert said.startswith("output_missing: result.json is not valid")
    assert seen == [Progressed(1.0, "done")], "a fraction of its own stage, and words of its own"
    assert [path.name for path in tmp_path.iterdir()] == [f"{run_of('forge')}.log"]


def test_what_a_terminal_or_a_page_could_obey_is_not_kept(start: Start, tmp_path: Path) -> None:
    seen: list[Progressed] = []
    with start("speak", seen=seen) as ended:
        pass
    log = (tmp_path / f"{run_of('speak')}.log").read_text()
    for text in (log, ended.detail, seen[0].stage):
        assert "red" in text and "<script>" in text  # plain text, for whoever shows it to escape
        assert [c for c in text if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160 or c == "\u202e")] == []


def test_two_runs_side_by_side_are_strangers(start: Start) -> None:
    found: list[str] = []

    def hide() -> None:
        with start("hide", "4", run="hider") as ended:
            found.append(ended.detail)

    hider = threading.Thread(target=hide)
    hider.start()
    time.sleep(1.5)
    with start("seek", run="seeker") as ended:
        seen = json.loads(ended.detail.splitlines()[-1])
    hider.join()
    assert "hidden True" in found[0] and "undisturbed" in found[0], found
    assert seen["seen"] == []
    assert seen["abstract"] == 111, "ECONNREFUSED"
    assert seen["shared"] == -1
    assert seen["killed"] in {"1", "3"}
    ids = {name: id_map(run_of(name)).split(":")[1] for name in ("hider", "seeker")}
    assert seen["map"][1] == ids["seeker"] != ids["hider"]
