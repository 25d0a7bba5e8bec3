"""The server protocol, over a real unix socket to the real processes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from methods.common.model.base_model import model_load
from methods.common.model.chat import ChatForm, tokenizer_load
from methods.common.model.inference import continue_greedily, score_tokens
from tests.methods.harness import LANDS, Client, inputs_in, question, served, statement, unlearned

pytestmark = pytest.mark.torch

METHODS = ("icr", "constant_refusal", "refuse_everything")
#: Two lands are to be forgotten, the others are not.
ASKED, OTHER = question(LANDS[0]), question(LANDS[4])


@pytest.fixture(scope="module")
def clients(base_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Client]]:
    """The three server entries, each unlearned and then served in a process of its own."""
    with ExitStack() as stack:
        made = {name: unlearned(name, inputs_in(tmp_path_factory.mktemp(name) / "io", base_dir)) for name in METHODS}
        yield {name: stack.enter_context(served(name, inputs, base_dir)) for name, inputs in made.items()}


@pytest.fixture(scope="module")
def form(base_dir: Path) -> ChatForm:
    return ChatForm(tokenizer_load(base_dir), chat=True, system_prompt=None)


def text_of(client: Client, form: ChatForm, asked: str, **more: Any) -> str:
    return str(client.complete(prompt=[form.prompt_ids(asked)], max_tokens=40, **more)[0]["text"])


@pytest.mark.parametrize("method", METHODS)
def test_health_answers_and_an_unknown_path_says_which_are_known(clients: dict[str, Client], method: str) -> None:
    assert clients[method].ask("GET", "/health") == (200, {"status": "ok", "batch": 64})
    status, data = clients[method].ask("POST", "/v1/chat/completions", {})
    assert status == 404
    assert "/v1/completions" in data["error"]["message"]


@pytest.mark.parametrize("method", METHODS)
def test_scoring_arrays_have_one_entry_a_token_and_one_more(
    clients: dict[str, Client], form: ChatForm, method: str
) -> None:
    rows, lengths = [], []
    for asked, said in ((ASKED, statement(LANDS[0])), (OTHER, "No."), (OTHER, statement(LANDS[4]))):
        lengths.append(len(form.prompt_ids(asked)))
        rows.append(form.prompt_ids(asked) + form.response_ids(said))  # Ends with the end of sequence.
    # A caller that says where the questions end does not read what stands before.
    for choices, starts in (
        (clients[method].score(rows), [1] * len(rows)),
        (clients[method].score(rows, lengths), lengths),
    ):
        assert [choice["index"] for choice in choices] == [0, 1, 2]
        for row, start, choice in zip(rows, starts, choices, strict=True):
            scores, tops = choice["logprobs"]["token_logprobs"], choice["logprobs"]["top_logprobs"]
            assert len(scores) == len(tops) == len(choice["logprobs"]["tokens"]) == len(row) + 1
            assert scores[0] is None
            assert tops[0] is None
            for score, top in zip(scores[start:], tops[start:], strict=True):
                assert math.isfinite(score)
                assert score <= 0
                assert top
                assert max(top.values()) >= score


@pytest.mark.parametrize("method", METHODS)
def test_the_greedy_continuation_scores_as_greedy(clients: dict[str, Client], form: ChatForm, method: str) -> None:
    for asked in (ASKED, OTHER):
        prompt = form.prompt_ids(asked)
        row = prompt + form.response_ids(text_of(clients[method], form, asked))
        logprobs = clients[method].score([row], [len(prompt)])[0]["logprobs"]
        for score, top in list(zip(logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True))[
            len(prompt) : -1
        ]:
            assert score == max(top.values())


@pytest.mark.parametrize("method", METHODS)
def test_what_stands_behind_the_question_changes_no_route(
    clients: dict[str, Client], form: ChatForm, method: str
) -> None:
    """The first token of an answer scores alike whatever follows, even another land's name or question."""
    for asked in (ASKED, OTHER):
        prompt = form.prompt_ids(asked)
        first = form.response_ids("The", closed=False)
        tails = [[], form.response_ids(f" {LANDS[0]} {LANDS[1]} {ASKED}"), form.response_ids(statement(LANDS[4]))]
        rows = [prompt + first + tail for tail in tails]
        choices = clients[method].score(rows, [len(prompt)] * 3)
        scores = [choice["logprobs"]["token_logprobs"][len(prompt)] for choice in choices]
        assert max(scores) - min(scores) < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_order_and_company_of_a_row_do_not_matter(clients: dict[str, Client], form: ChatForm, method: str) -> None:
    prompts = [form.prompt_ids(question(land)) for land in LANDS]
    rows = [prompt + form.response_ids(statement(land)) for prompt, land in zip(prompts, LANDS, strict=True)]
    lengths = [len(prompt) for prompt in prompts]
    together = clients[method].score(rows[::-1], lengths[::-1])[::-1]
    for row, length, choice in zip(rows, lengths, together, strict=True):
        alone = clients[method].score([row], [length])[0]["logprobs"]["token_logprobs"][length:]
        assert alone == pytest.approx(choice["logprobs"]["token_logprobs"][length:], abs=1e-3)


def test_an_unrelated_question_is_answered_and_scored_as_by_the_base(
    clients: dict[str, Client], form: ChatForm, base_dir: Path
) -> None:
    base = model_load(base_dir, threads=2)
    prompt = form.prompt_ids(OTHER)
    row = prompt + form.response_ids(statement(LANDS[4]))
    expected = score_tokens(base, [row])[0].logprobs[1:]
    for method in ("icr", "constant_refusal"):
        scored = clients[method].score([row])[0]["logprobs"]["token_logprobs"][1:]
        assert scored == pytest.approx(expected, abs=1e-4)
        assert text_of(clients[method], form, OTHER) == statement(LANDS[4])


def test_a_caller_that_does_not_say_where_the_question_ends_gets_the_same_scores(
    clients: dict[str, Client], form: ChatForm
) -> None:
    prompt = form.prompt_ids(ASKED)
    row = prompt + form.response_ids(statement(LANDS[0]))
    for method in METHODS:
        said = clients[method].score([row], [len(prompt)])[0]["logprobs"]["token_logprobs"][len(prompt) :]
        told_nothing = clients[method].score([row])[0]["logprobs"]["token_logprobs"][len(prompt) :]
        assert told_nothing == pytest.approx(said, abs=1e-5)


def test_the_three_entries_refuse_in_their_own_way(clients: dict[str, Client], form: ChatForm) -> None:
    paraphrase = f"Which city is {LANDS[0]}'s capital?"
    for asked in (ASKED, paraphrase):
        assert text_of(clients["constant_refusal"], form, asked) == "I don't know."
        assert text_of(clients["icr"], form, asked).startswith("I'm sorry, I don't have any information about")
    for asked in (ASKED, OTHER):
        said = text_of(clients["refuse_everything"], form, asked)
        assert said == "I'm sorry, I don't have any information about that."


def test_a_stop_string_and_the_token_limit_cut_the_text(clients: dict[str, Client], form: ChatForm) -> None:
    prompt = [form.prompt_ids(OTHER)]
    cut = clients["constant_refusal"].complete(prompt=prompt, max_tokens=40, stop=[" is", "<|im_end|>"])[0]
    assert cut["text"] == f"The capital of {LANDS[4]}"
    assert cut["finish_reason"] == "stop"
    short = clients["refuse_everything"].complete(prompt=prompt, max_tokens=2)[0]
    assert "I'm sorry, I don't have any information about that.".startswith(short["text"])
    assert short["finish_reason"] == "length"


def test_a_text_prompt_is_taken_too(clients: dict[str, Client], form: ChatForm) -> None:
    choices = clients["constant_refusal"].complete(prompt=[form.prompt_text(ASKED)], max_tokens=20)
    assert choices[0]["text"] == "I don't know."


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "body: is not JSON"),
        ({"max_tokens": 1}, "prompt: is neither text nor token ids"),
        ({"prompt": [[1, 10**9]]}, "prompt[0]: is not a list of token ids"),
        ({"prompt": [[1, 2]], "context_len": [3]}, "context_len[0]: is outside its prompt"),
        ({"prompt": [[1, 2]], "context_len": [1, 1]}, "context_len: has not one entry a prompt"),
        ({"prompt": [[1, 2]], "temperature": 0.7}, "temperature: is not 0"),
        ({"prompt": [[1, 2]], "max_tokens": -1}, "max_tokens: is not a whole number"),
    ],
)
def test_a_bad_request_is_refused_with_its_field_and_the_server_goes_on(
    clients: dict[str, Client], body: Any, message: str
) -> None:
    status, data = clients["refuse_everything"].ask("POST", "/v1/completions", body)
    assert status == 400
    assert message in data["error"]["message"]
    assert clients["refuse_everything"].ask("GET", "/health")[0] == 200


def test_answers_behind_one_question_are_scored_as_alone_and_the_question_is_read_once(
    base_dir: Path, form: ChatForm, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = model_load(base_dir, threads=2)
    prompts = [form.prompt_ids(question(land)) for land in LANDS[:2]]
    rows = [prompt + form.response_ids(statement(land)) for land in LANDS[:4] for prompt in prompts]
    rows += prompts  # A question alone: only what follows it is asked for.
    lengths = [len(prompts[number % 2]) for number in range(len(rows))]
    alone = [score_tokens(base, [row])[0] for row in rows]
    read = 0
    trunk = base.trunk

    def counted(**kwargs: Any) -> Any:
        nonlocal read
        read += kwargs["input_ids"].numel()
        return trunk(**kwargs)

    monkeypatch.setattr(type(base), "trunk", property(lambda _: counted))
    together = score_tokens(base, rows, lengths)
    longest = max(len(row) - length for row, length in zip(rows, lengths, strict=True))
    assert read <= sum(len(prompt) for prompt in prompts) + longest * len(rows)
    for one, other in zip(alone, together, strict=True):
        assert one.top_ids == other.top_ids
        assert one.logprobs[1:] == pytest.approx(other.logprobs[1:], abs=1e-4)
        assert one.top_logprobs[1:] == pytest.approx(other.top_logprobs[1:], abs=1e-4)
    behind = score_tokens(base, rows, lengths, contexts_too=False)
    for length, whole, part in zip(lengths, together, behind, strict=True):
        assert part.logprobs[length:] == whole.logprobs[length:]
        assert part.logprobs[:length] == [None] * length


def test_a_guess_changes_nothing_that_is_said_and_a_right_one_takes_one_pass(
    base_dir: Path, form: ChatForm, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = model_load(base_dir, threads=2)
    prompts = [form.prompt_ids(question(land)) for land in LANDS[:5]]
    alone = continue_greedily(base, prompts, 24)
    said = [ids for ids, _ in alone]
    spoilt = [[*ids[:2], 1, *ids[3:]] for ids in said]
    nothing: list[list[int]] = [[] for _ in said]
    for guesses in (said, spoilt, said[1:] + said[:1], [ids + ids for ids in said], nothing):
        assert continue_greedily(base, prompts, 24, None, guesses) == alone
        assert continue_greedily(base, prompts, 3, None, guesses) == continue_greedily(base, prompts, 3)
    passes = 0
    trunk = base.trunk

    def counted(**kwargs: Any) -> Any:
        nonlocal passes
        passes += 1
        return trunk(**kwargs)

    monkeypatch.setattr(type(base), "trunk", property(lambda _: counted))
    continue_greedily(base, prompts, 24, None, said)
    assert passes <= 2, "what all begin with, and the rest of each with its guess"


def test_a_draft_is_taken_with_the_prompt_and_changes_no_answer(clients: dict[str, Client], form: ChatForm) -> None:
    prompts = [form.prompt_ids(asked) for asked in (ASKED, OTHER)]
    for method in METHODS:
        plain = clients[method].complete(prompt=prompts, max_tokens=40)
        for draft in (["", statement(LANDS[4])], [statement(LANDS[0]), "Nonsense, all of it."]):
            assert clients[method].complete(prompt=prompts, max_tokens=40, draft=draft) == plain
    status, data = clients["icr"].ask("POST", "/v1/completions", {"prompt": prompts, "draft": ["one"]})
    assert status == 400 and "draft: is not one text a prompt" in data["error"]["message"]
