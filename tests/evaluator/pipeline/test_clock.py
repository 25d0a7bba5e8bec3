"""The clock of a run: no second counts twice, none is lost, and a resumed run has those of its earlier lives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.contract.seconds import MEASURING, TIMED_STAGES, Decoded, RunSeconds, Seconds, TimedStage
from evaluator.model.engine.decode import Pace
from evaluator.model.under_test import Sampler
from evaluator.pipeline.clock import Clock
from evaluator.pipeline.timed import TimedModel, TimedWeights

pytestmark = pytest.mark.torch
STAGES: tuple[TimedStage, ...] = get_args(TimedStage)


class Time:
    """A wall clock that moves when it is told to; of every second half is spent on the processor."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def go(self, seconds: float) -> None:
        self.now_s += seconds


def clock_make(folder: Path, time: Time) -> Clock:
    return Clock(folder, "r1", wall=lambda: time.now_s, cpu=lambda: time.now_s / 2)


def walls(clock: Clock) -> dict[str, float]:
    return {stage: spent.wall_s for stage, spent in clock.seconds().stages.items() if spent.wall_s}


def whole_of(found: RunSeconds) -> Seconds:
    return sum(found.stages.values(), start=Seconds())


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def clock(tmp_path: Path, time: Time) -> Clock:
    return clock_make(tmp_path, time)


def test_every_stage_has_a_name_for_pages() -> None:
    assert tuple(TIMED_STAGES) == STAGES
    assert set(MEASURING) < set(STAGES)


def test_a_stage_inside_another_is_not_counted_twice(clock: Clock, time: Time) -> None:
    time.go(1)
    with clock.stage("measure"):
        time.go(2)
        with clock.stage("generate"):
            time.go(4)
        time.go(8)
        with clock.stage("logprobs"):
            time.go(16)
    time.go(32)
    found = clock.seconds()
    assert walls(clock) == {"other": 33, "measure": 10, "generate": 4, "logprobs": 16}
    assert found.whole == whole_of(found) == Seconds(wall_s=63, cpu_s=31.5)
    assert list(found.stages) == list(TIMED_STAGES), "those that were not come to are there, with nothing"
    assert clock.wall_s("generate", "logprobs") == 20


def test_a_stage_that_is_going_on_has_what_went_by(clock: Clock, time: Time) -> None:
    with clock.stage("unlearn"):
        time.go(3)
        assert walls(clock) == {"unlearn": 3}
        time.go(3)
    assert walls(clock) == {"unlearn": 6}


def test_around_a_context_its_ends_count_and_not_what_goes_on_inside(clock: Clock, time: Time) -> None:
    @contextmanager
    def server() -> Iterator[str]:
        time.go(1)
        try:
            yield "server"
        finally:
            time.go(2)

    with clock.stage("measure"), clock.around("load", server()) as entered:
        assert entered == "server"
        time.go(4)
        with clock.stage("generate"):
            time.go(8)
    with pytest.raises(RuntimeError, match="died"), clock.around("load", server()):
        raise RuntimeError("died")
    assert walls(clock) == {"load": 6, "measure": 4, "generate": 8}


def test_what_another_has_measured_is_taken_out_of_the_stage_around_it(clock: Clock, time: Time) -> None:
    with clock.stage("container"):
        time.go(10)
        clock.shift(7.5, "container", "unlearn")
        assert walls(clock) == {"container": 2.5, "unlearn": 7.5}
        clock.shift(60.0, "container", "unlearn")
    found = clock.seconds()
    assert walls(clock) == {"unlearn": 10}, "no stage has less than nothing"
    assert found.stages["container"].cpu_s == 5, "processor time is our own and stays"
    assert found.whole == whole_of(found)


def test_a_resumed_run_has_the_seconds_of_all_its_lives(tmp_path: Path, time: Time) -> None:
    first = clock_make(tmp_path, time)
    with suppress(SystemExit), first.stage("measure"), first.stage("generate"):
        time.go(5)
        raise SystemExit(143)
    first.count(Decoded(passes=4, tokens=9, guessed=8, accepted=6))
    first.note()
    time.go(3600)
    second = clock_make(tmp_path, time)
    with second.stage("generate"):
        time.go(7)
    second.count(Decoded(passes=1, tokens=1))
    found = second.seconds()
    assert (found.lives, walls(second)) == (2, {"generate": 12}), "what went by between two lives is nobody's"
    assert found.whole == whole_of(found) == Seconds(wall_s=12, cpu_s=6)
    assert found.decoded == Decoded(passes=5, tokens=10, guessed=8, accepted=6)
    assert found.decoded.accepted_a_pass == 1.2


def test_a_life_that_was_killed_has_noted_what_was_over_a_second_before(tmp_path: Path, time: Time) -> None:
    killed = clock_make(tmp_path, time)
    with killed.stage("unlearn"):
        time.go(20)
    with killed.stage("seal"):
        time.go(0.5)
    assert walls(clock_make(tmp_path, time)) == {"unlearn": 20}


def test_a_note_that_cannot_be_read_or_written_costs_no_run(
    tmp_path: Path, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "seconds.json").write_text("{")
    clock = clock_make(tmp_path, time)
    assert clock.seconds().lives == 1 and "are lost" in caplog.text
    (tmp_path / "file").touch()
    nowhere = clock_make(tmp_path / "file" / "below", time)
    nowhere.note()
    assert "were not noted" in caplog.text


@given(st.lists(st.tuples(st.sampled_from(STAGES), st.floats(0, 100), st.booleans()), max_size=30))
def test_stages_add_up_to_the_whole_however_they_follow_each_other(steps: list[tuple[TimedStage, float, bool]]) -> None:
    time = Time()
    clock = clock_make(Path("nowhere"), time)
    clock._noted_s = float("inf")

    def walk(left: list[tuple[TimedStage, float, bool]]) -> None:
        while left:
            stage, seconds, deeper = left.pop()
            time.go(seconds)
            with clock.stage(stage):
                time.go(seconds / 2)
                if deeper:
                    walk(left)

    walk(list(steps))
    found = clock.seconds()
    assert found.whole.wall_s == pytest.approx(whole_of(found).wall_s)
    assert found.whole.wall_s == pytest.approx(sum(1.5 * seconds for _, seconds, _ in steps))


class Slow:
    """A model under test that takes as long as it is told, and decodes."""

    max_tokens = 8

    def __init__(self, time: Time) -> None:
        self.time = time
        self.pace = Pace()

    def score(self, pairs: object) -> list[object]:
        self.time.go(1)
        return []

    def generate(self, prompts: object, **options: object) -> list[str]:
        self.time.go(2)
        self.pace.passes += 3
        self.pace.accepted += 6
        return ["said"]

    def sample(self, prompts: object, **options: object) -> list[list[str]]:
        self.time.go(4)
        self.pace.passes += 100
        return [["drawn"]]


def test_a_model_under_test_is_timed_by_what_it_is_asked_for(clock: Clock, time: Time) -> None:
    weights = TimedWeights(Slow(time), clock)  # type: ignore[arg-type]
    weights.score([])
    assert weights.generate([], max_tokens=1, stop=()) == ["said"]
    assert weights.sample([], count=1, temperature=1.0, max_tokens=1) == [["drawn"]]
    assert walls(clock) == {"logprobs": 1, "generate": 2, "attack": 4}
    attacked = TimedWeights(Slow(time), clock, attacked=True)  # type: ignore[arg-type]
    attacked.score([])
    attacked.generate([], max_tokens=1, stop=())
    assert walls(clock) == {"logprobs": 1, "generate": 2, "attack": 7}
    assert clock.seconds().decoded == Decoded(passes=6, accepted=12), "drawn answers have no drafts"


def test_a_server_under_test_is_no_sampler(clock: Clock, time: Time) -> None:
    server = TimedModel(Slow(time), clock)  # type: ignore[arg-type]
    assert not isinstance(server, Sampler) and isinstance(TimedWeights(Slow(time), clock), Sampler)  # type: ignore[arg-type]
    server.generate([], max_tokens=1, stop=())
    assert clock.seconds().decoded == Decoded(), "how a server decodes nobody sees"
