"""A server of the contract around a real small model, over a real unix socket, with one fault of choice."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import torch

#: Changes an answer of the server: (request body, its choices, number of the request) -> choices.
Fault = Callable[[dict[str, Any], list[dict[str, Any]], int], list[dict[str, Any]]]


class SmallServer:
    """Answers scoring and greedy generation; plain forward passes, one row at a time."""

    def __init__(self, model: Any, tokenizer: Any, fault: Fault | None = None) -> None:
        self.model, self.tokenizer, self.fault = model, tokenizer, fault
        self.bodies: list[dict[str, Any]] = []

    @torch.no_grad()
    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        self.bodies.append(body)
        make = self._scored if body.get("echo") else self._written
        choices = [{"index": n, **make(ids, body)} for n, ids in enumerate(body["prompt"])]
        if self.fault is not None:
            choices = self.fault(body, choices, len(self.bodies))
        return {"choices": choices}

    def _scored(self, ids: list[int], body: dict[str, Any]) -> dict[str, Any]:
        log_probs = self.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        best = log_probs.max(-1)
        values = [float(log_probs[place - 1, token]) for place, token in enumerate(ids) if place]
        tops = [{str(int(i)): float(v)} for v, i in zip(best.values, best.indices, strict=True)]
        return {
            "text": "",
            "logprobs": {"token_logprobs": [None, *values, float(best.values[-1])], "top_logprobs": [None, *tops]},
        }

    def _written(self, ids: list[int], body: dict[str, Any]) -> dict[str, Any]:
        own, end = list(ids), int(self.tokenizer.eos_token_id)
        for _ in range(body["max_tokens"]):
            token = int(self.model(torch.tensor([own])).logits[0, -1].argmax())
            if token == end:
                break
            own.append(token)
        text = self.tokenizer.decode(own[len(ids) :], skip_special_tokens=True)
        for stop in body.get("stop") or []:
            text = text.split(stop)[0]
        return {"text": text, "logprobs": None}


@contextmanager
def listening(server: SmallServer, socket: Path) -> Iterator[Path]:
    """The server behind `socket`, until the context ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            payload = json.dumps(server.answer(body)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def address_string(self) -> str:
            return "unix"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name for it
            return

    with socketserver.UnixStreamServer(str(socket), Handler) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        try:
            yield socket
        finally:
            listener.shutdown()
