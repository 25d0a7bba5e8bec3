"""The command that measures utility: any lm-eval task on the evaluator's engine."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from evaluator.artifact import BaseTensors, seal
from evaluator.artifact.seal import MARK
from evaluator.benchmark.bases import base_prepare
from evaluator.cli.organiser.errors import clear_errors
from evaluator.contract import EvaluationFailed, Limits
from evaluator.home import Home

if TYPE_CHECKING:
    from evaluator.model.engine.lm import EvaluatorLM

DEFAULT_TASKS = "palimpsest_choice,palimpsest_text"


def utility(
    base: Annotated[str, typer.Option(help="a base model by name, prepared when it is not there")] = "",
    model: Annotated[Path | None, typer.Option(help="a model's own folder, instead of a base")] = None,
    artifact: Annotated[
        Path | None, typer.Option(help="what a method left for the base: weights or an adapter")
    ] = None,
    tasks: Annotated[str, typer.Option(help="names of lm-eval tasks, with commas between them")] = DEFAULT_TASKS,
    include: Annotated[Path | None, typer.Option(help="a folder of further task configs")] = None,
    data: Annotated[
        Path | None, typer.Option(help="a folder of data sets: docs/utility.md says how it is laid out")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="at most this many items of each task")] = None,
    fewshot: Annotated[
        int | None, typer.Option(min=0, help="examples in the prompt, of tasks that are not ours")
    ] = None,
    chat: Annotated[bool, typer.Option(help="ask tasks that are not ours under the chat template, too")] = False,
    threads: Annotated[int, typer.Option(min=1, help="threads of the model")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table")] = False,
) -> None:
    """Run lm-eval tasks (by default the whole set of this project) on a base, a model or a method's artifact."""
    with clear_errors():
        if model is not None and (base or artifact is not None):
            raise ValueError("model: is a whole model of its own; give either --model, or --base with --artifact")
        for name, folder in (("model", model), ("artifact", artifact), ("include", include), ("data", data)):
            if folder is not None and not folder.is_dir():
                raise ValueError(f"{name}: {folder} is no folder")
        logging.getLogger("lm_eval").setLevel(logging.ERROR)  # its warnings are about its own defaults
        from evaluator.tasks.stock import StockTasks, stock_run  # noqa: PLC0415 - loads torch

        names = list(dict.fromkeys(name.strip() for name in tasks.split(",") if name.strip()))
        if not names:
            raise ValueError("tasks: names no task")
        wanted = StockTasks(names, include=include, data=data)
        wanted.check()
        with _lm(base, model, artifact, threads) as lm:
            found = stock_run(lm, wanted, limit=limit, fewshot=fewshot, chat=chat)
    if as_json:
        typer.echo(json.dumps([asdict(score) for score in found], indent=2))
    else:
        _show(found)


@contextmanager
def _lm(base: str, model: Path | None, artifact: Path | None, threads: int) -> Iterator[EvaluatorLM]:
    import torch  # noqa: PLC0415 - loads torch

    from evaluator.model.engine.lm import EvaluatorLM, tokenizer_load  # noqa: PLC0415 - loads torch
    from evaluator.model.local import LocalModel, model_load  # noqa: PLC0415 - loads torch

    torch.set_num_threads(threads)
    if model is not None:
        tokenizer = tokenizer_load(model)
        yield EvaluatorLM(LocalModel(model_load(model), tokenizer), tokenizer)
        return

    directory = base_prepare(
        Home.from_environment(), base or "smollm2-135m-instruct", say=lambda text: typer.echo(text, err=True)
    )
    tokenizer = tokenizer_load(directory.path)
    with tempfile.TemporaryDirectory() as scratch:
        loaded = _edited(directory, artifact, Path(scratch)) if artifact else model_load(directory.path)
    yield EvaluatorLM(LocalModel(loaded, tokenizer), tokenizer)


def _edited(base: Any, artifact: Path, scratch: Path) -> Any:
    """The base with an artifact over it, checked as in a run. Raises `ValueError` when the check refuses it."""
    from evaluator.model.adapter import adapter_merge  # noqa: PLC0415 - loads torch
    from evaluator.model.local import model_load  # noqa: PLC0415 - loads torch

    try:
        sealed = seal(
            artifact,
            artifact if (artifact / MARK).is_file() else scratch / "sealed",
            base=BaseTensors.read(base.path),
            base_sha256=base.sha256,
            division="weights",
            limits=Limits(),
        )
    except EvaluationFailed as failure:
        raise ValueError(f"artifact: {failure.detail}") from None
    model = model_load(base.path, sealed.path / "model" if sealed.kind == "weights" else None)
    if sealed.kind == "adapter":
        adapter_merge(model, sealed.path / "adapter")
    return model


def _show(found: list[Any]) -> None:
    table = Table("Task", "Metric", "Value", "± s.e.", "Items")
    for score in found:
        stderr = "" if score.stderr is None else f"{score.stderr:.4f}"
        table.add_row(score.task, score.metric, f"{score.value:.4f}", stderr, str(score.n))
    Console(width=None).print(table)
