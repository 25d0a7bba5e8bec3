"""The engine on a CUDA card, beside lm-eval's `hf` and `vllm` models: parity first, then tokens a second."""

from __future__ import annotations

import datetime
import importlib.util
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluator import __version__
from evaluator.performance.ceilings import Decoded, decoded
from evaluator.performance.engine import LOGPROB_TOLERANCE, OURS, best_batch, differing, parity_require, per_token_gap
from evaluator.performance.machine import processor, require_idle
from evaluator.performance.passes import Pass
from evaluator.performance.report import Line, lines_table, page_write
from evaluator.performance.worker import Setting
from evaluator.performance.workers import Asked, Rounds, Say, rounds_run, worker_open

THREADS = 2
#: Items of every task: enough to fill a card. A try of a batch size that takes longer is stopped.
ITEMS = 128
BATCHES = ("8", "32", "128")
TRY_S = 300.0
VLLM = "vllm"
TASKS = ("score", "generate")


@dataclass
class CardReport:
    """What was found for one base: `figures` by (contender, task)."""

    base: str
    device: str
    items: int
    rounds: int
    batch: str
    parity: list[Line] = field(default_factory=list)
    figures: dict[tuple[str, str], Rounds] = field(default_factory=dict)
    #: Of contenders whose agreement is told and not required: (log-probability a token, nats; texts that differ).
    others: dict[str, tuple[float, int]] = field(default_factory=dict)
    bytes_per_s: float = 0.0
    decoding: Decoded | None = None

    @property
    def passed(self) -> bool:
        return all(line.holds for line in self.parity)

    def tokens_per_s(self, name: str, task: str) -> float:
        """Tokens of the requests a second when scoring, of the answers when generating; medians."""
        rounds = self.figures[name, task]
        return rounds.median("asked_tokens" if task == "score" else "said_tokens") / rounds.median("wall_s")

    def table(self) -> str:
        """Everything of this base in Markdown."""
        lines = [
            f"**{self.base}**, {self.items} questions, medians of {self.rounds} interleaved rounds:",
            "",
            "| contender | scoring, tokens/s | generation, tokens/s | scoring, s | generation, s | card's peak, MB |",
            "|---|--:|--:|--:|--:|--:|",
        ]
        for name in dict.fromkeys(name for name, _ in self.figures):
            rates = " | ".join(f"{self.tokens_per_s(name, task):.0f}" for task in TASKS)
            seconds = " | ".join(f"{self.figures[name, task].median('wall_s'):.2f}" for task in TASKS)
            peak = max(self.figures[name, task].most("card_peak_mb") for task in TASKS)
            lines.append(f"| {name} | {rates} | {seconds} | {f'{peak:.0f}' if peak else ''} |")
        lines += ["", *lines_table("parity", self.parity)]
        for name, (gap, texts) in self.others.items():
            lines += ["", f"{name}: {gap:.2g} nats a token away at most, {texts} of {self.items} texts differ."]
        if (step := self.decoding) is not None:
            rate = f"{self.bytes_per_s / 1e9:.0f} GB/s copied on the device, read and written"
            took = f"{1e3 * step.took_s:.2f} ms, {1e3 * step.memory_s:.2f} ms at that rate"
            share = f"{100 * step.memory_share:.0f} % of the memory's bandwidth"
            lines += ["", f"Memory: {rate}. A step of decoding takes {took}: {share}."]
        return "\n".join(lines)


def device_require(device: str) -> str:
    """The name of the device. Raises `ValueError` where the machine has none of its kind."""
    import torch  # noqa: PLC0415 - loads torch

    kind = torch.device(device).type
    if kind == "cpu":
        return processor()
    if kind != "cuda":
        raise ValueError(f"device: {device!r} is neither cuda nor cpu")
    if not torch.cuda.is_available():
        raise ValueError(
            f"device: no CUDA card is in reach of torch {torch.__version__}; run this on a machine that has one, or "
            "with --device cpu to try the way through without a card"
        )
    return str(torch.cuda.get_device_name(torch.device(device)))


def contenders_of(device: str, theirs: str) -> list[str]:
    """Who is measured: vLLM where it can be imported and there is a card for it."""
    found = [OURS, theirs]
    if not device.startswith("cpu") and importlib.util.find_spec("vllm") is not None:
        found.append(VLLM)
    return found


def card_bench(
    bases: Sequence[Path],
    *,
    device: str = "cuda",
    rounds: int = 3,
    items: int = ITEMS,
    batches: Sequence[str] = BATCHES,
    say: Say = print,
    idle: Callable[[], None] = require_idle,
) -> list[CardReport]:
    """Every base in turn, each contender in a process of its own.

    Raises `ValueError` without the device, for a folder that is no base, on a busy machine (`idle`), and when our
    numbers and lm-eval's `hf` model's do not agree.
    """
    name = device_require(device)
    for base in bases:
        if not (base / "config.json").is_file():
            raise ValueError(f"base: {base} has no config.json; give the folder of a Hugging Face model")
    idle()
    return [_base(base, device, name, rounds, items, batches, say) for base in bases]


def _base(
    base: Path, device: str, device_name: str, rounds: int, items: int, batches: Sequence[str], say: Say
) -> CardReport:
    say(f"{base.name} on {device_name}")
    setting = Setting(OURS, str(base), THREADS, device)
    asked = [Asked("", task, items) for task in TASKS]
    batch, _ = best_batch(batches, asked, setting, TRY_S, say, unit="wall_s")
    theirs = f"lm-eval:{batch}"
    report = CardReport(base.name, device_name, items, rounds, batch)
    names = contenders_of(device, theirs)
    with ExitStack() as stack:
        workers = {name: stack.enter_context(worker_open(Setting(name, str(base), THREADS, device))) for name in names}
        answers: dict[str, list[dict[str, Any]]] = {
            name: [workers[name].ask(task, items) for task in TASKS] for name in names
        }
        agreed = {name: _gap(answers[OURS], answers[name]) for name in names if name != OURS}
        gap, texts = agreed.pop(theirs)
        report.parity = [
            Line("log-probability a token, worst of all items, nats (lm-eval hf)", gap, LOGPROB_TOLERANCE),
            Line("greedy texts that differ (lm-eval hf)", texts, 0),
        ]
        report.others = agreed
        parity_require(report.parity, say)
        # A card's contenders may work in processes of their own, so what others use is not told apart here.
        tasks = [Asked(name, task, items) for task in TASKS for name in names]
        report.figures = rounds_run(workers, tasks, rounds, say, float("inf"))
        report.bytes_per_s = workers[OURS].ask("memory", how="copy")["bytes_per_s"]
    generated = report.figures[OURS, "generate"].figures[-1]
    report.decoding = decoded(
        [Pass.of(record) for record in generated["passes"]],
        weight_bytes=generated["weight_bytes"],
        position_bytes=generated["position_bytes"],
        bytes_per_s=report.bytes_per_s,
    )
    return report


def _gap(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> tuple[float, int]:
    return per_token_gap(ours[0], theirs[0]), differing(ours[1]["answer"], theirs[1]["answer"])


def card_text(found: Sequence[CardReport]) -> str:
    """The whole report in Markdown."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    head = f"Evaluator {__version__}, {today}; {found[0].device}; fp32 without TF32."
    return "\n\n".join([head, *(report.table() for report in found)])


def card_write(path: Path, found: Sequence[CardReport]) -> None:
    """Put the report between its marks in a Markdown file. Raises `ValueError` when it has none."""
    page_write(path, card_text(found), "card")
