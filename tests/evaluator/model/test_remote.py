"""A server is asked a bounded number of requests at a time, whatever the order of its answers."""

from __future__ import annotations

import json
import socketserver
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.model import remote
from evaluator.model.remote import RemoteModel

Body = dict[str, Any]
PROMPTS = [[n, n + 1] for n in range(24)]


class Recorder:
    """Answers every prompt with its first token, and counts the requests that are in its hands at a time."""

    def __init__(self, meanwhile: Callable[[int], object] = lambda _: None) -> None:
        self.meanwhile = meanwhile
        self.lock = threading.Lock()
        self.now = self.most = self.asked = 0

    def answer(self, body: Body) -> Body:
        with self.lock:
            self.asked += 1
            self.now += 1
            self.most = max(self.most, self.now)
            number = self.asked
        try:
            self.meanwhile(number)
            return {"choices": [{"index": n, "text": str(ids[0])} for n, ids in enumerate(body["prompt"])]}
        finally:
            with self.lock:
                self.now -= 1


class OneThread(socketserver.UnixStreamServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked may have gone: no news for the test's output."""


class Threads(socketserver.ThreadingMixIn, OneThread):
    daemon_threads = True


@contextmanager
def listening(recorder: Recorder, kind: type[OneThread] = Threads, health: bytes = b"{}") -> Iterator[Path]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._send(json.dumps(recorder.answer(body)).encode())

        def do_GET(self) -> None:
            self._send(health)

        def _send(self, payload: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def address_string(self) -> str:
            return "unix"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name for it
            return

    with tempfile.TemporaryDirectory() as folder, kind(f"{folder}/s", Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Path(folder) / "s"
        finally:
            server.shutdown()


def asked(socket: Path, **options: Any) -> list[str]:
    return RemoteModel(socket, seed=0, batch_size=1, **options).generate(PROMPTS, max_tokens=1, stop=[])


def test_requests_are_out_side_by_side_but_never_more_than_the_bound() -> None:
    together = threading.Barrier(3)
    recorder = Recorder(lambda _: together.wait(10))  # goes on only when three are in its hands
    with listening(recorder) as socket:
        assert asked(socket, in_flight=3) == [str(ids[0]) for ids in PROMPTS]
    assert recorder.most == 3
    assert recorder.asked == len(PROMPTS)


def test_an_answer_that_comes_late_is_still_the_answer_to_its_own_request() -> None:
    others = threading.Event()

    def first_waits_for_the_last(number: int) -> None:
        if number == 1:
            others.wait(10)
        if number == len(PROMPTS):
            others.set()

    with listening(Recorder(first_waits_for_the_last)) as socket:
        assert asked(socket, in_flight=2) == [str(ids[0]) for ids in PROMPTS]


def test_drafts_go_with_their_own_prompts_and_a_request_without_them_has_no_such_field() -> None:
    seen: dict[int, str] = {}

    class Drafted(Recorder):
        def answer(self, body: Body) -> Body:
            seen.update({ids[0]: draft for ids, draft in zip(body["prompt"], body.get("draft", ()), strict=False)})
            return super().answer(body)

    with listening(Drafted()) as socket:
        model = RemoteModel(socket, seed=0, batch_size=5)
        model.generate(PROMPTS, max_tokens=1, stop=[])
        assert seen == {}
        model.generate(PROMPTS, max_tokens=1, stop=[], drafts=[f"draft {ids[0]}" for ids in PROMPTS])
    assert seen == {ids[0]: f"draft {ids[0]}" for ids in PROMPTS}


@pytest.mark.parametrize(
    ("said", "batch"), [(b'{"batch": 3}', 3), (b"fine", 16), (b"[]", 16), (b'{"status": "ok"}', 16)]
)
def test_a_server_says_how_many_prompts_it_takes_or_gets_the_usual(said: bytes, batch: int) -> None:
    with listening(Recorder(), health=said) as socket:
        assert RemoteModel(socket, seed=0).batch_size == batch


@pytest.mark.parametrize("said", [b'{"batch": 0}', b'{"batch": 65}', b'{"batch": true}', b'{"batch": "many"}'])
def test_a_number_of_prompts_that_is_none_is_refused_by_name(said: bytes) -> None:
    with listening(Recorder(), health=said) as socket, pytest.raises(EvaluationFailed, match="GET /health: batch"):
        RemoteModel(socket, seed=0).generate(PROMPTS, max_tokens=1, stop=[])


def test_one_at_a_time_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(remote.IN_FLIGHT, "1")
    recorder = Recorder()
    with listening(recorder) as socket:
        asked(socket)
    assert recorder.most == 1


@pytest.mark.parametrize("text", ["0", "many", "-2", "1000"])
def test_a_bound_that_is_none_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(remote.IN_FLIGHT, text)
    with pytest.raises(ValueError, match=f"{remote.IN_FLIGHT}: '{text}'"):
        RemoteModel(Path("/s"), seed=0)


def test_a_server_with_one_thread_that_keeps_connections_open_is_not_starved() -> None:
    recorder = Recorder()
    with listening(recorder, OneThread) as socket:
        assert asked(socket, in_flight=4, timeout_s=10) == [str(ids[0]) for ids in PROMPTS]
    assert recorder.most == 1


def test_a_server_that_falls_silent_has_died_and_is_asked_no_more() -> None:
    silent = threading.Event()
    recorder = Recorder(lambda number: number > 4 and silent.wait(10))
    with listening(recorder) as socket, pytest.raises(EvaluationFailed, match="no answer within") as caught:
        asked(socket, in_flight=2, timeout_s=0.5)
    silent.set()
    assert caught.value.code is FailureCode.SERVER_DIED
    assert recorder.asked <= 6


def test_a_server_that_is_gone_has_died(tmp_path: Path) -> None:
    with pytest.raises(EvaluationFailed, match="ConnectError") as caught:
        asked(tmp_path / "nowhere", in_flight=2)
    assert caught.value.code is FailureCode.SERVER_DIED


def test_answers_to_one_question_are_scored_side_by_side_and_the_questions_in_an_order_of_the_seed() -> None:
    contexts = [[n % 9, 1] for n in range(36)]
    batches = {seed: RemoteModel(Path("none"), seed=seed, batch_size=8)._shuffled(contexts, "score") for seed in (0, 1)}
    for found in batches.values():
        order = [place for batch in found for place in batch]
        assert sorted(order) == list(range(36))
        assert max(len(batch) for batch in found) == 8
        asked = [contexts[place][0] for place in order]
        assert [asked[place] for place in range(0, 36, 4) for _ in range(4)] == asked
    assert batches[0] != batches[1]
