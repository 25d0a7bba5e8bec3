"""One contender in a process of its own: loads the model once, then does a task for every line that it is sent."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from evaluator.performance.contenders import contender
from evaluator.performance.machine import gemm_gflops, peak_mb, peak_reset, resident_mb
from evaluator.performance.workload import workload


class _Counter:
    """Counts what goes through the trunk and the head, the same way for every contender."""

    def __init__(self, model: Any) -> None:
        self.tokens = self.head_rows = self.forwards = 0
        model.base_model.register_forward_pre_hook(self._trunk, with_kwargs=True)
        model.get_output_embeddings().register_forward_pre_hook(self._head)

    def _trunk(self, _: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        ids = named["input_ids"] if "input_ids" in named else arguments[0]
        self.tokens += int(ids.numel())
        self.forwards += 1

    def _head(self, _: Any, arguments: tuple[Any, ...]) -> None:
        self.head_rows += int(arguments[0].numel() // arguments[0].shape[-1])

    def take(self) -> dict[str, int]:
        found = {"tokens": self.tokens, "head_rows": self.head_rows, "forwards": self.forwards}
        self.tokens = self.head_rows = self.forwards = 0
        return found


def main(name: str, base: str, threads: int) -> None:
    """Protocol: one JSON object a line on stdin, {"task", "items", "seed"}; one on stdout for each."""
    import torch  # noqa: PLC0415 - loads torch

    from evaluator.model.engine.lm import tokenizer_load  # noqa: PLC0415 - loads torch
    from evaluator.model.local import model_load  # noqa: PLC0415 - loads torch

    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with our lines
    torch.set_num_threads(threads)
    tokenizer = tokenizer_load(Path(base))
    model = model_load(Path(base))
    tool = contender(name, model, tokenizer)
    trunk_parameters = (
        sum(p.numel() for p in model.base_model.parameters()) - model.get_input_embeddings().weight.numel()
    )
    counter = _Counter(model)
    print(
        json.dumps({"ready": name, "weights_mb": sum(p.numel() * 4 for p in model.parameters()) / 2**20}),
        file=channel,
        flush=True,
    )
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["task"] == "gemm":
            print(json.dumps({"gflops": gemm_gflops()}), file=channel, flush=True)
            continue
        work = workload(tokenizer, items=asked["items"], seed=asked["seed"])
        counter.take()
        peak_reset()
        resident = resident_mb()
        began, cpu = time.perf_counter(), time.process_time()
        answer: Any = getattr(tool, asked["task"])(work)
        found = {
            "wall_s": time.perf_counter() - began,
            "cpu_s": time.process_time() - cpu,
            "peak_mb": peak_mb(),
            "over_resident_mb": peak_mb() - resident,
            "trunk_parameters": trunk_parameters,
            "head_parameters": model.get_output_embeddings().weight.numel(),
            "continuation_tokens": [len(tokenizer.encode(c, add_special_tokens=False)) for _, c in work.pairs],
            "answer": answer,
            **counter.take(),
            **tool.counts(),
        }
        print(json.dumps(found), file=channel, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
