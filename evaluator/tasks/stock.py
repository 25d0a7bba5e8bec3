"""Any lm-eval task on the evaluator's engine: data from a local folder, from the cache, or from the hub."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import huggingface_hub.constants as hub
from lm_eval.tasks import TaskManager
from lm_eval.tasks._factory import TaskFactory
from lm_eval.tasks._index import Entry

import evaluator.tasks

if TYPE_CHECKING:
    from evaluator.model.engine.lm import EvaluatorLM

#: Formats of local data: file ending -> the reader of `datasets`.
READERS = {"jsonl": "json", "json": "json", "parquet": "parquet"}
#: `test.jsonl`, or a shard as the hub names it: `test-00000-of-00001.parquet`.
_FILE = re.compile(rf"^(?P<split>\w+?)(?:-\d+-of-\d+)?\.(?P<ending>{'|'.join(READERS)})$")
#: Seconds to find out that the hub cannot be reached.
HUB_WAIT_S = 5.0
BOOTSTRAPS = 1000


@dataclass(frozen=True)
class TaskScore:
    """One metric of one task: `n` items, `stderr` None where lm-eval gives none."""

    task: str
    metric: str
    value: float
    stderr: float | None
    n: int


def local_files(data: Path, dataset: str, name: str | None) -> dict[str, dict[str, list[str]]]:
    """The files of a data set below `data`: reader -> split -> paths, in name order; empty when there are none.

    Looked for in `DATASET/NAME`, else in `DATASET/data`, else in `DATASET`; a data set's own name may have a slash.
    """
    folder = data / dataset
    for place in [*([folder / name] if name else []), folder / "data", folder]:
        found: dict[str, dict[str, list[str]]] = {}
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            if match := _FILE.match(path.name):
                splits = found.setdefault(READERS[match["ending"]], {})
                splits.setdefault(match["split"], []).append(str(path))
        if found:
            return found
    return {}


class _Factory(TaskFactory):
    """Builds tasks as lm-eval does, with their data taken from a local folder where one is given."""

    def __init__(self, data: Path | None) -> None:
        super().__init__()
        self.data = data

    def _build_task(self, entry: Entry, overrides: dict[str, Any] | None) -> Any:
        from datasets.exceptions import DatasetsError  # noqa: PLC0415 - loads datasets

        config = self._load_full_config(entry, overrides)
        name, dataset = config.get("task", entry.name), config.get("dataset_path")
        local = self._local(name, config) if self.data and dataset and not config.get("custom_dataset") else None
        try:
            task = super()._build_task(entry, (overrides or {}) | (local or {}))
            empty = not len(task.eval_docs)
        except (IndexError, StopIteration):  # what an empty split and an empty file end in
            empty = True
        except (DatasetsError, OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
            cause = error.__cause__ or error
            reason = f"{type(cause).__name__}: {next(iter(str(cause).splitlines()), '')}"
            raise LookupError(self._missing(name, config, reason)) from None
        if empty:
            raise LookupError(f"task {name}: its data ({dataset or 'its own'}) hold no item; there is nothing to ask")
        return task

    def _local(self, task: str, config: dict[str, Any]) -> dict[str, Any]:
        """The changes to a task's config that make it read local files. Raises `LookupError` when they are missing."""
        assert self.data is not None
        found = local_files(self.data, config["dataset_path"], config.get("dataset_name"))
        wanted = config.get("test_split") or config.get("validation_split")
        for reader, splits in found.items():
            if wanted in splits:
                # lm-eval opens every split that a config names, also where no example is taken from it.
                named = ("training_split", "validation_split", "test_split", "fewshot_split")
                gone = {key: None for key in named if config.get(key) and config[key] not in splits}
                return gone | {
                    "dataset_path": reader,
                    "dataset_name": None,
                    "dataset_kwargs": {"data_files": splits},
                }
        has = ", ".join(sorted({split for splits in found.values() for split in splits})) or "none"
        raise LookupError(self._missing(task, config, f"no file of the split {wanted!r} (there: {has})"))

    def _missing(self, task: str, config: dict[str, Any], reason: str) -> str:
        dataset, name = config.get("dataset_path"), config.get("dataset_name")
        split = config.get("test_split") or config.get("validation_split") or "test"
        where = "/".join(["DIR" if self.data is None else str(self.data), str(dataset), *([name] if name else [])])
        told = f"task {task}: its data set {dataset}{f' ({name})' if name else ''} cannot be read: {reason}"
        remedy = f"put it at {where}/{split}.jsonl (or .parquet)"
        if self.data is None:
            remedy += " and give --data DIR, or run once where the hub can be reached"
        return f"{told}; {remedy}"


def _hub_or_offline() -> None:
    """Go offline for this process when the hub does not answer at once: no data set is worth minutes of retries."""
    import datasets  # noqa: PLC0415 - loads datasets

    if hub.HF_HUB_OFFLINE:
        return
    try:
        httpx2.head(hub.ENDPOINT, timeout=HUB_WAIT_S)
    except httpx2.HTTPError:
        hub.HF_HUB_OFFLINE = True
        datasets.config.HF_HUB_OFFLINE = True


class StockTasks(TaskManager):
    """The evaluator's own tasks, those of `include`, and all of lm-eval's where `names` asks for one of them.

    Data come from `data` when it is given. Reading lm-eval's thousands of configs takes seconds.
    """

    def __init__(self, names: Sequence[str], *, include: Path | None = None, data: Path | None = None) -> None:
        places = [str(Path(evaluator.tasks.__file__).parent), *([str(include)] if include else [])]
        super().__init__(include_path=places, include_defaults=False)
        if not set(names) <= set(self.all_tasks):
            super().__init__(include_path=places)
        self.names = tuple(names)
        self._factory = _Factory(data)

    def check(self) -> None:
        """Load the data of the tasks.

        Raises `LookupError` for an unknown task (naming the nearest), for one whose data are not here, and for one
        without items.
        """
        for name in self.names:
            if name not in self.all_tasks:
                nearest = difflib.get_close_matches(name, self.all_tasks, n=1, cutoff=0.0)
                raise LookupError(
                    f"task {name!r} is unknown to lm-eval and to --include; the nearest is {nearest[0]!r}"
                )
        if not all(_is_own(name) for name in self.names):
            _hub_or_offline()
        self.load(list(self.names))


def _is_own(name: str) -> bool:
    return name.startswith("palimpsest_")


def stock_run(
    lm: EvaluatorLM,
    tasks: StockTasks,
    *,
    limit: int | None = None,
    fewshot: int | None = None,
    chat: bool = False,
) -> list[TaskScore]:
    """Run lm-eval tasks on a model; the evaluator's own always, others with `chat`, under the chat template."""
    import lm_eval  # noqa: PLC0415 - loads torch

    os.environ.setdefault("DISABLE_MULTIPROC", "1")  # a pool of processes would each load torch
    found: list[TaskScore] = []
    for own in (True, False):
        part = [name for name in tasks.names if _is_own(name) == own]
        if not part:
            continue
        results = lm_eval.simple_evaluate(
            model=lm,
            tasks=part,
            task_manager=tasks,
            num_fewshot=fewshot if not own else None,
            apply_chat_template=own or chat,
            limit=limit,
            bootstrap_iters=BOOTSTRAPS,
            log_samples=False,
        )
        if results is None:
            raise RuntimeError("lm-eval returned nothing")
        found += _scores(results)
    return found


def _scores(results: dict[str, Any]) -> list[TaskScore]:
    counts = {name: int(n["effective"]) for name, n in results["n-samples"].items()}
    members = {name: leaves for name, leaves in results.get("group_subtasks", {}).items() if leaves}

    def items(name: str) -> int:
        return counts[name] if name in counts else sum(items(leaf) for leaf in members.get(name, ()))

    found = []
    for task, values in results["results"].items():
        for key, value in values.items():
            metric, _, kind = key.partition(",")
            if not kind or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            stderr = values.get(f"{metric}_stderr,{kind}")
            label = metric if kind == "none" else f"{metric} ({kind})"
            found.append(
                TaskScore(task, label, float(value), float(stderr) if isinstance(stderr, float) else None, items(task))
            )
    return found
