"""How fast the engine is on this machine: scoring and decoding on the default base, wall and CPU seconds."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from typing import Any

from evaluator.home import Home


def _timed(work: Callable[[], Any]) -> tuple[float, float]:
    before = time.process_time()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began, time.process_time() - before


def engine_speed(base: str = "smollm2-135m-instruct", *, prompts: int = 64) -> dict[str, float]:
    """Tokens a second (wall), CPU-seconds and peak memory. Model loading is not timed."""
    import torch

    from evaluator.base import base_prepare
    from evaluator.engine.lm import EvaluatorLM, tokenizer_load
    from evaluator.subject.local import LocalSubject, model_load

    directory = base_prepare(Home.from_environment(), base)
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    tokenizer = tokenizer_load(directory.path)
    lm = EvaluatorLM(LocalSubject(model_load(directory.path), tokenizer), tokenizer)
    contexts = [
        lm.tok_encode(lm.apply_chat_template([{"role": "user", "content": f"What comes after the number {n}?"}]))
        for n in range(prompts)
    ]
    answer = lm.tok_encode("The number after that is one more.")
    pairs = [(context, answer) for context in contexts]
    lm.subject.score(pairs[:4])
    score_wall, score_cpu = _timed(lambda: lm.subject.score(pairs))
    texts: list[str] = []
    decode_wall, decode_cpu = _timed(lambda: texts.extend(lm.subject.generate(contexts, max_tokens=32, stop=[])))
    scored = sum(len(c) + len(a) for c, a in pairs)
    decoded = sum(len(lm.tok_encode(text)) for text in texts)
    return {
        "prompts": prompts,
        "scored_tokens_per_s": round(scored / score_wall, 1),
        "score_cpu_s": round(score_cpu, 2),
        "decoded_tokens_per_s": round(decoded / decode_wall, 1),
        "decode_cpu_s": round(decode_cpu, 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
