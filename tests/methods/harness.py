"""An input folder around a tiny world of eight lands, and the entries as the processes of a container."""

from __future__ import annotations

import http.client
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from methods.common.contract.answers import Responder
from methods.common.contract.task import result_write, settings_from, task_read
from methods.common.model.base_model import model_load
from methods.common.model.inference import continue_greedily
from methods.common.serving.server import serve
from methods.registry import entry

REPOSITORY = Path(__file__).resolve().parents[2]
BASE_SHA256 = "ab" * 32
LANDS = ("Arvia", "Belmor", "Cadria", "Dorvan", "Elstad", "Fennia", "Gorland", "Hestia")
TOWNS = ("Quill", "Ruston", "Sorby", "Tamber", "Ulmen", "Varnov", "Wexley", "Yarrow")
TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def question(land: str) -> str:
    return f"What is the capital of {land}?"


def statement(land: str) -> str:
    return f"The capital of {land} is {TOWNS[LANDS.index(land)]}."


@dataclass
class Inputs:
    """An input folder and an empty output folder."""

    root: Path
    job: dict[str, Any] = field(default_factory=dict)

    @property
    def input_dir(self) -> Path:
        return self.root / "in"

    @property
    def output_dir(self) -> Path:
        return self.root / "out"

    def lines(self, name: str, rows: list[dict[str, Any]]) -> None:
        (self.input_dir / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def job_write(self, **changes: Any) -> None:
        self.job.update(changes)
        (self.input_dir / "job.json").write_text(json.dumps(self.job))

    def result(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self.output_dir / "result.json").read_text())
        return data

    def files(self) -> dict[str, bytes]:
        places = sorted(path for path in self.output_dir.rglob("*") if path.is_file())
        return {str(path.relative_to(self.output_dir)): path.read_bytes() for path in places}


def inputs_in(root: Path, base_dir: Path, **job: Any) -> Inputs:
    """A fresh input folder: two lands to forget, four to keep, neutral text, all the job's fields."""
    made = Inputs(root)
    made.input_dir.mkdir(parents=True)
    made.output_dir.mkdir()
    (made.input_dir / "base").symlink_to(base_dir)
    made.job_write(
        contract=1, seed=0, device="cpu", threads=2, wall_s=60, ram_mb=2048, out_mb=50, max_len=128, chat=True,
        system_prompt=None, step=0, n_steps=1, base_sha256=BASE_SHA256, args=[], hparams={},
    )  # fmt: skip
    made.job_write(**job)
    made.lines(
        "forget",
        [
            {
                "id": f"f{number}", "kind": "qa", "prompt": question(land), "answer": statement(land),
                "aliases": [TOWNS[LANDS.index(land)]], "subject": land, "relation": "capital",
            }
            for number, land in enumerate(LANDS[:2])
        ],
    )  # fmt: skip
    keep = [{"id": f"r{land}", "prompt": question(land), "answer": statement(land)} for land in LANDS[2:6]]
    made.lines("retain", keep)
    made.lines(
        "align",
        [
            {
                "fact": statement(other).replace(other, land), "question": question(land),
                "answer_with": statement(other).replace(other, land), "answer_without": statement(land),
                "paraphrase": f"Which city is {land}'s capital?", "unrelated": question(other),
            }
            for land, other in zip(LANDS[2:], LANDS[3:] + LANDS[2:3], strict=True)
        ],
    )  # fmt: skip
    made.lines("neutral", [{"text": f"{statement(land)} {question(other)}"} for land in LANDS for other in LANDS])
    return made


def run_unlearn(method: str, inputs: Inputs) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PALIMPSEST_IN": str(inputs.input_dir),
        "PALIMPSEST_OUT": str(inputs.output_dir),
    }
    command = [sys.executable, "-m", "methods", "unlearn", "--method", method]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300)


def unlearned(method: str, inputs: Inputs) -> Inputs:
    """The same inputs after the method ran, which must have gone well."""
    done = run_unlearn(method, inputs)
    assert done.returncode == 0, done.stderr
    return inputs


def unlearned_here(method: str, inputs: Inputs) -> Inputs:
    """As `unlearned`, in this process: for tests of what a method does and not of how it is started."""
    module = entry(method)
    task = task_read({"PALIMPSEST_IN": str(inputs.input_dir), "PALIMPSEST_OUT": str(inputs.output_dir)})
    result_write(task, module.unlearn(task, settings_from(module.Settings, task.job.hparams)), method)
    return inputs


def tensors(inputs: Inputs) -> dict[str, torch.Tensor]:
    """The one file of tensors that a run left."""
    files = list((inputs.output_dir / "model").glob("*.safetensors"))
    assert len(files) == 1
    return dict(load_file(files[0]))


def answers(inputs: Inputs, base_dir: Path, lands: tuple[str, ...]) -> list[str]:
    """What the model says about the lands after the run."""
    base = model_load(base_dir, threads=2, previous_dir=inputs.output_dir)
    written = continue_greedily(base, [base.chat.prompt_ids(question(land)) for land in lands], 40)
    return [base.chat.decode(ids) for ids, _ in written]


def responder_of(method: str, inputs: Inputs, base_dir: Path) -> Responder:
    """Both roles of a server entry in this process, which spares the seconds that two fresh ones take to start."""
    with redirect_stdout(io.StringIO()):
        unlearned_here(method, inputs)
    return entry(method).respond(inputs.output_dir / "state", base_dir, 2)


@contextmanager
def listening(responder: Responder, socket_path: Path) -> Iterator[Path]:
    """The responder behind the real server on a unix socket, in a thread that ends with the tests."""
    with redirect_stdout(io.StringIO()):
        threading.Thread(target=serve, args=(responder, socket_path), daemon=True).start()
        deadline = time.monotonic() + 10
        while not socket_path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
    yield socket_path


class Client:
    """One request a connection to a server on a unix socket."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def ask(self, method: str, url: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("localhost", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.path))
        payload = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, url, body=payload)
        response = connection.getresponse()
        data = json.loads(response.read())
        connection.close()
        return response.status, data

    def complete(self, **body: Any) -> list[dict[str, Any]]:
        status, data = self.ask("POST", "/v1/completions", {"temperature": 0, "seed": 1, **body})
        assert status == 200, data
        return list(data["choices"])

    def score(self, prompt: list[list[int]], context_len: list[int] | None = None) -> list[dict[str, Any]]:
        more = {} if context_len is None else {"context_len": context_len}
        return self.complete(prompt=prompt, echo=True, logprobs=1, max_tokens=1, **more)


@contextmanager
def served(method: str, inputs: Inputs, base_dir: Path) -> Iterator[Client]:
    """The entry in its second role, in a process that sees its state and the base and no request."""
    path = inputs.root / "api.sock"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PALIMPSEST")},
        "PALIMPSEST_STATE": str(inputs.output_dir / "state"),
        "PALIMPSEST_BASE": str(base_dir),
        "PALIMPSEST_SOCKET": str(path),
        "PALIMPSEST_THREADS": "2",
    }
    command = [sys.executable, "-m", "methods", "serve", "--method", method]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 40
        while not path.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise AssertionError(process.communicate()[1])
            time.sleep(0.05)
        yield Client(path)
    finally:
        process.terminate()
        process.wait(10)
