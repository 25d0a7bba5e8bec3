"""Runs the entrypoint as the platform does, on a model so small that it takes seconds: `python -m pytest`."""

import http.client
import json
import math
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import tomllib

import pytest
from small_base import small_base
from transformers import AutoTokenizer

HERE = pathlib.Path(__file__).parent
QUESTIONS = ["Who wrote Emma?", "Who wrote Hamlet?", "When was Emma published, and by whom was it written?"]


class Connection(http.client.HTTPConnection):
    def __init__(self, path: pathlib.Path) -> None:
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


@pytest.fixture
def asked(tmp_path: pathlib.Path):
    """Unlearns one request, serves the result, and gives what asks the server: a body in, its choices out."""
    given, out = tmp_path / "in", tmp_path / "out"
    out.mkdir()
    small_base(given / "base")
    hparams = tomllib.loads((HERE / "method.toml").read_text())["hparams"]
    job = {"contract": 1, "seed": 0, "threads": 1, "base_sha256": "0" * 64, "device": "cpu", "hparams": hparams}
    (given / "job.json").write_text(json.dumps(job))
    request = {"id": "1", "kind": "qa", "prompt": QUESTIONS[0], "answer": "Jane Austen", "subject": "Emma"}
    (given / "forget.jsonl").write_text(json.dumps(request) + "\n")
    program = [sys.executable, str(HERE / "entrypoint.py")]
    unlearning = {"PALIMPSEST_IN": str(given), "PALIMPSEST_OUT": str(out)}
    subprocess.run([*program, "unlearn"], env=os.environ | unlearning, check=True)
    assert json.loads((out / "result.json").read_text())["kind"] == "server"

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "api.sock"
        serving = {
            "PALIMPSEST_STATE": str(out / "state"),
            "PALIMPSEST_BASE": str(given / "base"),
            "PALIMPSEST_SOCKET": str(path),
        }
        server = subprocess.Popen([*program, "serve"], env=os.environ | serving)
        try:
            while not path.exists():
                assert server.poll() is None
                time.sleep(0.1)

            def ask(**body):
                connection = Connection(path)
                connection.request("POST", "/v1/completions", json.dumps(body))
                return json.loads(connection.getresponse().read())["choices"]

            yield ask, AutoTokenizer.from_pretrained(given / "base")
        finally:
            server.kill()
            server.wait()


def test_it_refuses_what_names_the_subject_and_scores_as_it_answers(asked) -> None:
    ask, tokenizer = asked
    prompts = [
        tokenizer.encode(
            tokenizer.apply_chat_template(
                [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False
            ),
            add_special_tokens=False,
        )
        for question in QUESTIONS
    ]
    texts = [choice["text"] for choice in ask(prompt=prompts, max_tokens=80, stop=[])]
    refusal = "I'm sorry, I don't have any information about Emma."
    assert [text == refusal for text in texts] == [True, False, True]

    alone = [ask(prompt=[prompt], max_tokens=80, stop=[])[0]["text"] for prompt in prompts]
    assert alone == texts

    tails = [tokenizer.encode(text, add_special_tokens=False) for text in (refusal, "Jane Austen.", "")]
    rows = [(prompt, tail) for prompt in prompts for tail in tails]
    body = {"echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0}
    together = ask(
        prompt=[prompt + tail for prompt, tail in rows], context_len=[len(prompt) for prompt, _ in rows], **body
    )
    for (prompt, tail), choice in zip(rows, together, strict=True):
        scores, tops = choice["logprobs"]["token_logprobs"], choice["logprobs"]["top_logprobs"]
        assert len(scores) == len(tops) == len(prompt) + len(tail) + 1
        assert all(math.isfinite(score) and score <= 0 for score in scores[len(prompt) :])
        one = ask(prompt=[prompt + tail], context_len=[len(prompt)], **body)[0]["logprobs"]["token_logprobs"]
        assert one[len(prompt) :] == pytest.approx(scores[len(prompt) :], abs=1e-3)
    # The refusal is what scores best where it is said, token by token.
    scores, tops = together[0]["logprobs"]["token_logprobs"], together[0]["logprobs"]["top_logprobs"]
    assert all(
        score == max(top.values())
        for score, top in zip(scores[len(prompts[0]) :], tops[len(prompts[0]) :], strict=True)
    )
