"""Stock lm-eval talks to a method's server through the bridge, and finds what its own model finds."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.models.openai_completions import LocalCompletionsAPI
from transformers import AutoTokenizer

from evaluator.model.bridge import bridge
from evaluator.model.local import model_load
from tests.evaluator.model.small_server import SmallServer, listening


@contextmanager
def bridged(path: Path) -> Iterator[int]:
    """The bridge in a thread of its own; the port."""
    loop, ready, port = asyncio.new_event_loop(), threading.Event(), []

    async def main() -> None:
        async with bridge(path) as found:
            port.append(found)
            ready.set()
            await stop.wait()

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(main(),), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield port[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def test_stock_lm_eval_scores_and_continues_through_the_bridge(toy_home: Path) -> None:
    base = toy_home / "models" / "toy-llama"
    model, tokenizer = model_load(base), AutoTokenizer.from_pretrained(base)
    words = sorted(w for w in tokenizer.get_vocab() if w.isalpha())
    asked = [(" ".join(words[n : n + 4]), f" {words[n + 9]} {words[n + 5]}") for n in range(6)]
    scored = [Instance("loglikelihood", {}, pair, n) for n, pair in enumerate(asked)]
    options = {"until": [words[0]], "max_gen_toks": 8, "do_sample": False}
    wanted = [Instance("generate_until", {}, (prompt, dict(options)), n) for n, (prompt, _) in enumerate(asked)]
    reference = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1, device="cpu")
    server = SmallServer(model, tokenizer)
    with tempfile.TemporaryDirectory() as folder, listening(server, Path(folder) / "s") as path, bridged(path) as port:
        stock: Any = LocalCompletionsAPI(
            base_url=f"http://127.0.0.1:{port}/v1/completions",
            model="method",
            tokenizer=str(base),
            tokenizer_backend="huggingface",
            batch_size=1,
        )
        for (ours, greedy), (theirs, theirs_greedy) in zip(
            stock.loglikelihood(scored), reference.loglikelihood(scored), strict=True
        ):
            assert ours == pytest.approx(theirs, abs=1e-4) and greedy == theirs_greedy
        assert stock.generate_until(wanted) == reference.generate_until(wanted)


def test_without_a_server_or_a_free_port_the_bridge_says_so(tmp_path: Path) -> None:
    async def opened(path: Path, port: int) -> None:
        async with bridge(path, port):
            pass

    with pytest.raises(ValueError, match=r"socket: .* is no unix socket"):
        asyncio.run(opened(tmp_path / "none", 0))
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener, socket.socket() as taken:
        listener.bind(f"{folder}/s")
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ValueError, match=r"port: \d+ of 127.0.0.1 can't be listened on"):
            asyncio.run(opened(Path(folder) / "s", taken.getsockname()[1]))
