"""One contender in a process of its own: loads the model once, then does a task for every line that it is sent."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluator.performance.contenders import VLLM, Contender, contender
from evaluator.performance.machine import gemm_gflops, peak_mb, peak_reset, resident_mb
from evaluator.performance.near import near_base
from evaluator.performance.passes import PassCounter
from evaluator.performance.workload import kept_work, workload


@dataclass(frozen=True)
class Setting:
    """What a contender's process is started with. `near`: the weights are not the base's own, but near them."""

    contender: str
    base: str
    threads: int
    device: str = "cpu"
    near: bool = False


class _Bench:
    """The loaded contender. Answers to tasks are JSON objects."""

    def __init__(self, setting: Setting) -> None:
        import torch  # noqa: PLC0415 - loads torch

        from evaluator.model.engine.lm import tokenizer_load  # noqa: PLC0415 - loads torch
        from evaluator.model.local import model_load  # noqa: PLC0415 - loads torch

        torch.set_num_threads(setting.threads)
        self.device = torch.device(setting.device)
        base = Path(setting.base)
        self.tokenizer: Any = tokenizer_load(base)
        self.tool: Contender
        self.model: Any = None
        if setting.contender == "vllm":
            self.tool = VLLM(base)
            return
        self.model = model_load(base, device=setting.device)
        if setting.near:
            near_base(self.model)
        self.tool = contender(setting.contender, self.model, self.tokenizer)
        self.counter = PassCounter(self.model)

    def ready(self) -> dict[str, Any]:
        """The size of the weights."""
        parameters = list(self.model.parameters()) if self.model is not None else []
        return {"weights_mb": sum(p.numel() * p.itemsize for p in parameters) / 2**20}

    def memory(self, how: str) -> dict[str, Any]:
        """Bytes a second that memory gives: `read` by the processor, or a `copy` within the device's."""
        from evaluator.performance.products import copy_rate, read_rate  # noqa: PLC0415 - loads torch

        return {"bytes_per_s": read_rate() if how == "read" else copy_rate(self.device)}

    def products(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        from evaluator.performance.products import Products  # noqa: PLC0415 - loads torch

        return Products(self.model).times(asked["trunk"], asked["head"])

    def task(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What one method of the contender answered, and what it took."""
        if asked["task"] == "kept":
            work: Any = kept_work(self.tokenizer, Path(asked["release"]))
        else:
            work = workload(self.tokenizer, items=asked["items"], seed=asked["seed"])
        if self.model is not None:
            self.counter.take()
        self._card("reset_peak_memory_stats")
        peak_reset()
        resident = resident_mb()
        began, cpu = time.perf_counter(), time.process_time()
        answer: Any = getattr(self.tool, asked["task"])(work)
        found = {
            "wall_s": time.perf_counter() - began,
            "cpu_s": time.process_time() - cpu,
            "peak_mb": peak_mb(),
            "over_resident_mb": peak_mb() - resident,
            "card_peak_mb": self._card("max_memory_allocated") / 2**20,
            "answer": answer,
        }
        if asked["task"] == "score":
            pairs = [[len(self.tokenizer.encode(t, add_special_tokens=False)) for t in pair] for pair in work.pairs]
            found |= {"continuation_tokens": [n for _, n in pairs], "asked_tokens": sum(map(sum, pairs))}
        elif asked["task"] in ("generate", "kept"):
            found["said_tokens"] = sum(len(self.tokenizer.encode(t, add_special_tokens=False)) for t in answer)
        if asked["task"] == "kept":
            same = sum(a == b for a, b in zip(answer, work.base, strict=True))
            found |= {"prompts": len(work.prompts), "same_as_base": same}
        return found | self._counted()

    def _counted(self) -> dict[str, Any]:
        if self.model is None:
            return {}
        head, every = self.model.get_output_embeddings().weight, self.model.base_model.parameters()
        trunk = sum(p.numel() for p in every) - self.model.get_input_embeddings().weight.numel()
        weights = {
            "trunk_parameters": trunk,
            "head_parameters": head.numel(),
            "weight_bytes": (trunk + head.numel()) * head.itemsize,
        }
        return {**weights, **self.counter.take(), **self.tool.counts()}

    def _card(self, what: str) -> int:
        """A figure of the card's memory, in bytes; 0 without a card."""
        import torch  # noqa: PLC0415 - loads torch

        return int(getattr(torch.cuda, what)(self.device) or 0) if self.device.type == "cuda" else 0


def main(setting: Setting) -> None:
    """Protocol: one JSON object a line on stdin, {"task", …}; one on stdout for each."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with our lines
    bench = _Bench(setting)
    print(json.dumps({"ready": setting.contender, **bench.ready()}), file=channel, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["task"] == "gemm":
            found: dict[str, Any] = {"gflops": gemm_gflops()}
        elif asked["task"] == "memory":
            found = bench.memory(asked["how"])
        elif asked["task"] == "products":
            found = bench.products(asked)
        else:
            found = bench.task(asked)
        print(json.dumps(found), file=channel, flush=True)


if __name__ == "__main__":
    main(Setting(**json.loads(sys.argv[1])))
