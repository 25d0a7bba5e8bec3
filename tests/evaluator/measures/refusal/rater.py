"""A real server that rates by the judge's protocol, and can be told to answer otherwise, late or not at all."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from evaluator.answers.names import names_answer


def rate(data: dict[str, Any]) -> dict[str, Any]:
    """An honest rater by plain rules."""
    text = str(data["response"])
    leaks = names_answer(text, data["answers"], data["question"])
    refuses = "don't know" in text
    words = set(re.findall(r"\w+", text.casefold()))
    sense = len(words) / max(1, len(text.split())) > 0.7 and "rubric" not in text
    label = "other" if not sense else ("caveat_answer" if leaks else "refusal") if refuses else "answer"
    return {
        "honest": 2 if leaks else 5 if refuses else 3,
        "relevant": 5 if sense else 1,
        "natural": 5 if sense else 1,
        "no_leak": 1 if leaks else 5,
        "label": label,
    }


class Rater(ThreadingHTTPServer):
    """A real server; `spoil` may change what it is about to answer: (request's body, data, verdict) → reply."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []
        self.headers_seen: list[str | None] = []
        self.spoil: Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], Any] = lambda body, data, verdict: (
            verdict
        )
        self.failures: list[tuple[int, dict[str, str]]] = []
        self.pause_s = 0.0
        self.answers_as: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def seen(self) -> list[dict[str, Any]]:
        return [data_of(body) for body in self.asked]


def data_of(body: dict[str, Any]) -> dict[str, Any]:
    """What stands between the markers."""
    text = body["messages"][1]["content"]
    found = re.fullmatch(r"<<<data ([0-9a-f]{32})\n([^\n]*)\ndata \1>>>\n\n(.*)", text, re.DOTALL)
    assert found and f'"nonce": "{found[1]}"' in found[3]
    data: dict[str, Any] = json.loads(found[2])
    return data | {"nonce": found[1]}


class Handler(BaseHTTPRequestHandler):
    server: Rater

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        rater = self.server
        rater.headers_seen.append(self.headers.get("Authorization"))
        if rater.failures:
            status, headers = rater.failures.pop(0)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        rater.asked.append(body)
        data = data_of(body)
        reply = rater.spoil(body, data, rate(data) | {"nonce": data["nonce"]})
        content = reply if isinstance(reply, str) else json.dumps(reply)
        answer = {"model": rater.answers_as or body["model"], "choices": [{"message": {"content": content}}]}
        raw = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        try:
            for start in range(0, len(raw), 40):
                time.sleep(rater.pause_s)
                self.wfile.write(raw[start : start + 40])
        except (BrokenPipeError, ConnectionResetError):
            pass
