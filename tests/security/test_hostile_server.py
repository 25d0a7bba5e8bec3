"""What a server may send, and that none of it hangs, floods, crashes or fools the evaluator."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import pytest

from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.model.remote import RemoteModel
from evaluator.performance.machine import peak_mb, peak_reset, resident_mb
from evaluator.sandbox.health import health_wait
from tests.security import hostile_server as hostile
from tests.security.hostile_server import Answer, answers, answers_raw, http, scored, sends, serving

#: A server that is late, or whose bytes are no HTTP, is as good as dead: it is started once more, and then fails.
DIED, WRONG = FailureCode.SERVER_DIED, FailureCode.SERVER_NOT_CONFORMANT
GOOD = {
    "index": 0,
    "text": " yes",
    "logprobs": {"token_logprobs": [None, -1.0, -1.0], "top_logprobs": [None, {"a": -0.5}, {"a": -1.0}]},
}


def score(path: Path, timeout_s: float = 0.5) -> object:
    return RemoteModel(path, seed=0, timeout_s=timeout_s).score([([1], [2])])


def generate(path: Path) -> list[str]:
    return RemoteModel(path, seed=0, timeout_s=0.5).generate([[1]], max_tokens=4, stop=[])


def test_an_honest_answer_is_taken() -> None:
    with serving(answers([GOOD])) as (path, _):
        assert generate(path) == [" yes"]
        assert score(path) is not None


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (hostile.drips, DIED),
        (hostile.drips_headers, DIED),
        (hostile.continues, DIED),
        (hostile.says_nothing, DIED),
        (hostile.endless, WRONG),
        (hostile.endless_chunks, WRONG),
        (hostile.endless_error, WRONG),
        (sends(http(b"{}", length=10**9)), WRONG),
        (sends(http(b"{}", length=-5)), DIED),
        (hostile.zipped(), WRONG),
        (sends(http(b"{}", length=5000)[:-2] + b"x"), DIED),
        (lambda link: link.close(), DIED),
        (lambda link: (link.sendall(http(b"{", length=50)), link.close()), DIED),
        (lambda link: (link.sendall(b"HTTP/1.1 200 OK\r\n"), link.close()), DIED),
        (sends(b"SSH-2.0-OpenSSH_9.2\r\n"), DIED),
        (sends(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"), DIED),
        (sends(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n"), DIED),
        (sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), DIED),
        (sends(http(b"", status="302 Found", extra="Location: http://127.0.0.1:80/\r\n")), WRONG),
        (sends(http(b"", status="101 Switching Protocols", extra="Upgrade: h2c\r\n")), DIED),
        (sends(http(b"{}", status="204 No Content")), WRONG),
        (sends(http(b"\xff\xfe{}")), WRONG),
        (answers_raw('{"choices": ' + "[" * 100_000 + "]" * 100_000 + "}"), WRONG),
        (answers_raw('{"choices": ' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}"), WRONG),
        (answers_raw("[]"), WRONG),
        (answers_raw("null"), WRONG),
        (answers_raw('{"choices": {"index": 0}}'), WRONG),
        (answers_raw('{"choices": [[0]]}'), WRONG),
        (answers_raw('{"choices": [{"index": ' + "9" * 5000 + "}]}"), WRONG),
        (answers_raw('{"choices": [{"index": 1e999}]}'), WRONG),
        (answers_raw('{"choices": [{"index": NaN}]}'), WRONG),
        (answers_raw('{"choices": [{"index": "0"}]}'), WRONG),
        (answers_raw('{"choices": [{"index": false}]}'), WRONG),
        (answers([GOOD, GOOD]), WRONG),
        (answers([GOOD | {"index": 1}]), WRONG),
        (answers([GOOD, GOOD | {"index": 1}]), WRONG),
        (answers([]), WRONG),
        (scored("NaN"), WRONG),
        (scored("-Infinity"), WRONG),
        (scored("-1e999"), WRONG),
        (scored("-" + "9" * 400), WRONG),
        (scored("0.5"), WRONG),
        (scored("true"), WRONG),
        (scored('"-1"'), WRONG),
        (scored("null"), WRONG),
        (scored("[]"), WRONG),
        (answers([GOOD | {"logprobs": {"token_logprobs": [None, -1, -1], "top_logprobs": [None, {}, {}]}}]), WRONG),
        (answers([GOOD | {"logprobs": {"token_logprobs": [None, -1, -1], "top_logprobs": "abc"}}]), WRONG),
        (answers_raw(json.dumps({"choices": [GOOD]}).replace("-0.5", "NaN")), WRONG),
    ],
)
def test_it_ends_with_a_code_of_the_list_soon_and_in_little_memory(answer: Answer, code: FailureCode) -> None:
    began = time.monotonic()
    peak_reset()
    before = resident_mb()
    with serving(answer) as (path, _), pytest.raises(EvaluationFailed) as caught:
        score(path)
    assert caught.value.code is code, caught.value.detail
    assert len(caught.value.detail) < 600
    assert time.monotonic() - began < 5
    assert peak_mb() - before < 64


@pytest.mark.parametrize("text", ["[]", "null", "7", '"\\ud800"', '"a\\udfff"'])
def test_a_text_that_is_none_is_refused(text: str) -> None:
    body = f'{{"choices": [{{"index": 0, "text": {text}}}]}}'
    with serving(answers_raw(body)) as (path, _), pytest.raises(EvaluationFailed) as caught:
        generate(path)
    assert caught.value.code is WRONG


def test_a_redirect_to_a_socket_of_the_host_is_not_followed(tmp_path: Path) -> None:
    with serving(answers([GOOD])) as (host, seen):
        for where in (f"unix://{host}", f"http+unix://{host}/v1/completions", "http://169.254.169.254/"):
            location = f"Location: {where}\r\n"
            elsewhere = sends(http(b"{}", status="307 Temporary Redirect", extra=location))
            with serving(elsewhere) as (path, _), pytest.raises(EvaluationFailed, match="307"):
                generate(path)
        assert seen == []


def test_two_answers_to_one_question_do_not_answer_the_next() -> None:
    """Response splitting: the second answer is never taken for that of another question."""
    second = GOOD | {"text": "the answer to something else"}
    both = http(json.dumps({"choices": [GOOD]}).encode()) + http(json.dumps({"choices": [second]}).encode())
    with serving(sends(both)) as (path, _):
        subject = RemoteModel(path, seed=0, batch_size=1, timeout_s=1.0)
        assert subject.generate([[1], [2], [3]], max_tokens=4, stop=[]) == [" yes"] * 3


def test_of_many_requests_at_a_time_one_that_drips_does_not_live_on_the_others() -> None:
    """The patience for the last one begins with the last answer, however many bytes it sends."""
    began, turn = time.monotonic(), iter(range(100))

    def one_drips(link: socket.socket) -> None:
        (hostile.drips if next(turn) == 0 else answers([GOOD]))(link)

    with serving(one_drips) as (path, _), pytest.raises(EvaluationFailed) as caught:
        RemoteModel(path, seed=0, batch_size=1, timeout_s=0.5, in_flight=3).generate(
            [[number] for number in range(20)], max_tokens=4, stop=[]
        )
    assert caught.value.code is DIED
    assert time.monotonic() - began < 10


def test_what_a_request_holds_cannot_break_out_of_its_body() -> None:
    """Nothing of a prompt reaches the head of a request: it goes as token ids in JSON, with its own length."""
    with serving(answers([GOOD])) as (path, requests):
        subject = RemoteModel(path, seed=0, batch_size=1, timeout_s=1.0)
        subject.generate([[1]], max_tokens=4, stop=["\r\n\r\nGET /health HTTP/1.1\r\n\r\n"])
    head, _, body = b"".join(requests).partition(b"\r\n\r\n")
    assert head.count(b"HTTP/1.1") == 1 and b"\r\n" not in body
    assert f"content-length: {len(body)}".encode() in head.lower()
    assert b"authorization" not in head.lower() and b"cookie" not in head.lower()


@pytest.mark.parametrize("answer", [hostile.drips, hostile.drips_headers, hostile.continues, hostile.endless])
def test_a_health_check_is_over_in_its_time(answer: Answer) -> None:
    began = time.monotonic()
    with serving(answer) as (path, _):
        found = health_wait(path, 0.5, alive=lambda: True)
    assert time.monotonic() - began < 4
    assert found is None or "waited" in found
