"""A server that keeps to the contract passes every check; each fault is refused by the check that is there for it."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.model.conformance import CHECKS, QUESTIONS, server_check, server_check_again
from evaluator.model.engine.lm import EvaluatorLM
from evaluator.model.local import LocalModel, model_load
from evaluator.model.remote import RemoteModel
from tests.evaluator.model.small_server import Fault, SmallServer, listening

Choices = list[dict[str, Any]]
Body = dict[str, Any]


@pytest.fixture(scope="module")
def base(toy_home: Path) -> tuple[Any, Any]:
    folder = toy_home / "models" / "toy-llama"
    return model_load(folder), AutoTokenizer.from_pretrained(folder)


@contextmanager
def remote(base: tuple[Any, Any], fault: Fault | None = None) -> Iterator[tuple[EvaluatorLM, SmallServer]]:
    """The engine over a server with a fault."""
    server = SmallServer(*base, fault)
    # A unix socket's path may have some hundred characters at most.
    with tempfile.TemporaryDirectory() as folder, listening(server, Path(folder) / "s") as socket:
        yield EvaluatorLM(RemoteModel(socket, seed=0), base[1]), server


def refused(base: tuple[Any, Any], fault: Fault) -> str:
    with remote(base, fault) as (lm, _), pytest.raises(EvaluationFailed) as caught:
        server_check(lm)
    assert caught.value.code is FailureCode.SERVER_NOT_CONFORMANT
    return caught.value.detail


def test_a_server_that_changes_nothing_passes_and_gives_the_models_own_numbers(base: tuple[Any, Any]) -> None:
    model, tokenizer = base
    local = EvaluatorLM(LocalModel(model, tokenizer), tokenizer)
    pairs = [
        (local.tok_encode(local.apply_chat_template([{"role": "user", "content": q}])), local.tok_encode(" one two"))
        for q in QUESTIONS
    ]
    with remote(base) as (lm, _):
        server_check(lm)
        for ours, theirs in zip(local.score(pairs), lm.score(pairs), strict=True):
            assert theirs.logprobs == pytest.approx(ours.logprobs, abs=1e-4)
            assert theirs.hits == ours.hits
        prompts = [prompt for prompt, _ in pairs]
        assert lm.under_test.generate(prompts, max_tokens=12, stop=[]) == local.under_test.generate(
            prompts, max_tokens=12, stop=[]
        )


def scores_only(change: Any) -> Fault:
    """A fault that edits the token log-probabilities of each scored choice."""

    def fault(body: Body, choices: Choices, _: int) -> Choices:
        if body.get("echo"):
            for choice, length, ids in zip(choices, body["context_len"], body["prompt"], strict=True):
                change(choice["logprobs"], length, ids, len(choices))
        return choices

    return fault


def texts_only(change: Any) -> Fault:
    """A fault that edits the texts of generated choices."""

    def fault(body: Body, choices: Choices, number: int) -> Choices:
        if not body.get("echo"):
            for choice in choices:
                choice["text"] = change(choice["text"], body, number, len(choices))
        return choices

    return fault


def noisy_in_batches(logprobs: Any, _: int, __: Any, rows: int) -> None:
    if rows > 1:
        logprobs["token_logprobs"] = [None, *(v - 0.01 for v in logprobs["token_logprobs"][1:])]


def looks_ahead(logprobs: Any, length: int, ids: list[int], _: int) -> None:
    """The whole distribution of the first token depends on how much comes after it; the best one stays the best."""
    lower = 0.05 * (len(ids) - length)
    logprobs["token_logprobs"][length] -= lower
    logprobs["top_logprobs"][length] = {name: v - lower for name, v in logprobs["top_logprobs"][length].items()}


def never_the_best(logprobs: Any, *_: Any) -> None:
    logprobs["top_logprobs"] = [None, *({"0": v + 1e-3} for v in logprobs["token_logprobs"][1:])]


def sure_of_everything(logprobs: Any, *_: Any) -> None:
    logprobs["token_logprobs"] = [None, *(-0.01 for _ in logprobs["token_logprobs"][1:])]
    logprobs["top_logprobs"] = [None, *({"0": -0.01} for _ in logprobs["token_logprobs"][1:])]


def as_long_as_before() -> Fault:
    """The longest of the server's own texts so far, however few tokens are asked for."""
    said: list[str] = []

    def change(text: str, body: Body, *_: Any) -> str:
        said.append(text)
        return max((one for one in said if one.startswith(text)), key=len) if body["max_tokens"] == 2 else text

    return texts_only(change)


@pytest.mark.parametrize(
    ("check", "fault"),
    [
        ("stateless", texts_only(lambda text, _, number, __: f"{text} {number}")),
        ("stateless", texts_only(lambda text, _, __, rows: text if rows > 1 else "alone")),
        ("batch", scores_only(noisy_in_batches)),
        ("greedy", scores_only(never_the_best)),
        ("context_len", scores_only(looks_ahead)),
        ("distribution", scores_only(sure_of_everything)),
        ("max_tokens", texts_only(lambda text, body, _, __: text if body["max_tokens"] > 2 else f"no {text}")),
        ("max_tokens", as_long_as_before()),
        ("stop", texts_only(lambda text, body, _, __: text + (body["stop"][0] if body["stop"] else ""))),
    ],
)
def test_each_fault_is_refused_by_its_check(base: tuple[Any, Any], check: str, fault: Fault) -> None:
    assert refused(base, fault).startswith(f"{check}: ")


def shortened(logprobs: Any, *_: Any) -> None:
    logprobs["token_logprobs"] = logprobs["token_logprobs"][:-1]


def without_null(logprobs: Any, *_: Any) -> None:
    logprobs["token_logprobs"][0] = -1.0


def positive(logprobs: Any, *_: Any) -> None:
    logprobs["token_logprobs"] = [None, *(0.5 for _ in logprobs["token_logprobs"][1:])]


def not_a_number(logprobs: Any, *_: Any) -> None:
    logprobs["token_logprobs"] = [None, *(math.nan for _ in logprobs["token_logprobs"][1:])]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (scores_only(shortened), "prompt length + 1"),
        (scores_only(without_null), "entry 0 must be null"),
        (scores_only(positive), "at most 0"),
        (scores_only(not_a_number), "finite"),
        (lambda _, choices, __: choices[1:], "choices: indices"),
        (lambda _, choices, __: [{**c, "index": 0} for c in choices], "choices: indices"),
        (texts_only(lambda *_: None), "text: is not a string"),
    ],
)
def test_an_answer_of_another_form_is_refused_with_its_field(base: tuple[Any, Any], fault: Fault, message: str) -> None:
    assert message in refused(base, fault)


def test_a_server_that_answers_otherwise_the_second_time_is_found_out_at_the_end(base: tuple[Any, Any]) -> None:
    """It is honest while it is checked, and then remembers what it was asked."""
    seen: set[str] = set()

    def remembers(text: str, body: Body, *_: Any) -> str:
        asked = repr(sorted(body["prompt"]))
        if asked in seen:
            return "I was asked this before."
        if checked:
            seen.add(asked)
        return text

    checked: list[bool] = []
    with remote(base, texts_only(remembers)) as (lm, _):
        server_check(lm)
        checked.append(True)
        lm.generate([lm.apply_chat_template([{"role": "user", "content": "What is one?"}])], max_tokens=6)
        with pytest.raises(EvaluationFailed, match="remembers: a probe that was asked again"):
            server_check_again(lm, seed=1)


def test_an_honest_server_gives_the_same_answers_at_the_end(base: tuple[Any, Any]) -> None:
    with remote(base) as (lm, server):
        prompts = [lm.apply_chat_template([{"role": "user", "content": f"What is {n}?"}]) for n in range(12)]
        lm.generate(prompts, max_tokens=6)
        asked = len(server.bodies)
        server_check_again(lm, seed=1)
        assert len(server.bodies) - asked == 8


def test_the_checks_ask_nothing_that_marks_a_split(base: tuple[Any, Any]) -> None:
    with remote(base) as (lm, server):
        server_check(lm)
    known = {"prompt", "context_len", "echo", "logprobs", "max_tokens", "temperature", "seed", "stop"}
    assert all(set(body) <= known for body in server.bodies)
    assert len(CHECKS) == len({check.__name__ for check in CHECKS})


def checked_by_command(socket: Path, base_dir: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evaluator", "server-check", "--socket", str(socket), "--base", str(base_dir)]
    return subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_an_author_checks_a_server_with_one_command(base: tuple[Any, Any], toy_home: Path, tmp_path: Path) -> None:
    folder = toy_home / "models" / "toy-llama"
    good, bad = SmallServer(*base), SmallServer(*base, scores_only(sure_of_everything))
    with tempfile.TemporaryDirectory() as short:
        with listening(good, Path(short) / "s") as socket:
            done = checked_by_command(socket, folder)
            assert (done.returncode, done.stdout) == (0, f"the server passes all {len(CHECKS)} checks\n"), done.stderr
            nowhere = checked_by_command(socket, tmp_path)
            assert nowhere.returncode == 2 and "base: " in nowhere.stderr and "tokenizer_config.json" in nowhere.stderr
        with listening(bad, Path(short) / "b") as socket:
            done = checked_by_command(socket, folder)
            assert done.returncode == 3 and done.stderr.startswith("server_not_conformant: ")
        nobody = checked_by_command(Path(short) / "none", folder)
        assert nobody.returncode == 2 and "is no unix socket" in nobody.stderr
