"""However a method prints, progress is read and memory stays small."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evaluator.contract import FailureCode, Progress
from evaluator.pipeline.progress import ProgressFile
from evaluator.sandbox import Progressed
from evaluator.sandbox.output import KEPT_BYTES, Output, follow


@pytest.fixture
def seen() -> list[Progressed]:
    return []


@pytest.fixture
def output(tmp_path: Path, seen: list[Progressed]) -> Output:
    return Output(tmp_path / "run.log", seen.append)


def test_a_line_cut_in_pieces_is_put_together(output: Output, seen: list[Progressed]) -> None:
    for piece in (b'{"prog', b'ress": 0.5, "sta', b'ge": "x"}', b"\n"):
        output.feed(1, piece)
    output.close()
    assert seen == [Progressed(0.5, "x")]


def test_two_streams_do_not_mix_their_lines(output: Output, seen: list[Progressed]) -> None:
    output.feed(1, b'{"progress": 0.5, ')
    output.feed(2, b"a warning\n")
    output.feed(1, b'"stage": "x"}\n')
    output.close()
    assert seen == [Progressed(0.5, "x")]


def test_a_progress_bar_on_the_same_line_is_skipped_over(output: Output, seen: list[Progressed]) -> None:
    output.feed(1, b' 50%|##   |\r100%|#####|\r{"progress": 1}\r\n')
    output.close()
    assert seen == [Progressed(1.0, "")]


@pytest.mark.parametrize(
    "line",
    [
        b'{"progress": NaN}',
        b'{"progress": true}',
        b'{"progress": "0.5"}',
        b'["progress"]',
        b'{"progress": ' + b"[" * 3000,
        b'{"progress": 0.5, "x": "' + b"y" * 5000 + b'"}',
    ],
)
def test_what_is_no_progress_is_no_error(output: Output, seen: list[Progressed], line: bytes) -> None:
    output.feed(1, line + b"\n")
    output.close()
    assert seen == []


def test_out_of_range_is_clamped(output: Output, seen: list[Progressed]) -> None:
    output.feed(1, b'{"progress": -3}\n')
    output.close()
    assert seen == [Progressed(0.0, "")]


def test_many_lines_at_once_are_one_call(output: Output, seen: list[Progressed]) -> None:
    output.feed(1, b'{"progress": 0.1}\n' * 10_000 + b'{"progress": 0.9}\n')
    output.tick()
    output.close()
    assert seen == [Progressed(0.9, "")]


def test_the_log_keeps_the_end_and_says_that_it_did(output: Output, tmp_path: Path) -> None:
    output.feed(1, b"x" * 1_000_000 + b"\n\x1b[31mred\x1b[0m\x00 end\n")
    output.close()
    text = (tmp_path / "run.log").read_text()
    assert text.startswith("[the first ")
    assert text.endswith("\nred end\n")
    assert len(text) <= KEPT_BYTES + 100


def test_the_log_of_the_server_stands_below_that_of_unlearning(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    for name, after in (("edited", ""), ("first server", "serve"), ("second server", "serve")):
        output = Output(log, after=after)
        output.feed(1, name.encode())
        output.close()
    assert log.read_text() == "edited\n--- serve ---\nsecond server"


def test_a_grandchild_that_keeps_the_pipe_open_is_not_waited_for(output: Output) -> None:
    program = "import subprocess; subprocess.Popen(['sleep', '30']); print('parent ends')"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    began = time.monotonic()
    assert follow(process, output, tick=lambda: None, deadline=math.inf, end=process.kill)
    assert time.monotonic() - began < 5
    assert "parent ends" in output.tail()


@pytest.mark.parametrize("half", ["caf\udce9", "\ud800", "x\udfff\ud800y"])
def test_half_a_character_of_a_progress_line_is_replaced(
    output: Output, seen: list[Progressed], tmp_path: Path, half: str
) -> None:
    output.feed(1, json.dumps({"progress": 0.5, "stage": half}).encode() + b"\n")
    output.close()
    (step,) = seen
    assert "\ufffd" in step.stage
    ProgressFile(tmp_path / "out", "r1").fraction(step.fraction, step.stage)
    assert Progress.model_validate_json((tmp_path / "out" / "progress.json").read_bytes()).message == step.stage


def test_a_number_that_is_no_float_is_no_progress(output: Output, seen: list[Progressed]) -> None:
    output.feed(1, b'{"progress": 1' + b"0" * 400 + b"}\n")
    output.close()
    assert seen == []


def test_half_a_character_in_the_reason_of_a_failure_is_replaced(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")  # as a file that a method left is named
    ProgressFile(tmp_path, "r1").failed(FailureCode.OUTPUT_REFUSED, f"{name} is no file of an artifact")
    said = Progress.model_validate_json((tmp_path / "progress.json").read_bytes())
    assert said.detail == "caf\ufffd is no file of an artifact"
