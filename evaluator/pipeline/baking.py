"""Training that depends on no request, for the reference image: example edits of facts that no release can hold.

A release takes facts that its base knows. So facts of those public subjects that the base knows nothing of stand apart
from every release, and an entry that was trained on them has seen no subject that it will be judged on.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from evaluator.benchmark.bases import base_prepare
from evaluator.benchmark.build import Say, base_lm
from evaluator.benchmark.catalogue import Benchmark, benchmark_get
from evaluator.benchmark.known import KnownTable, base_answers, known_facts
from evaluator.benchmark.pool import is_public
from evaluator.benchmark.requests import align_examples, question, request_files_write
from evaluator.contract import AlignExample, ContainerJob, NeutralText
from evaluator.home import Home, write_atomically
from evaluator.model.base import BaseModelDirectory
from evaluator.pipeline.inputs import MAX_LEN
from evaluator.probes import Fact, keyed_number

#: The entries of `methods/` that train apart from the requests.
METHODS = ("lte", "recipe")
#: Fewer examples than a release gives by itself are no use.
LEAST = 20
#: So many of one relation are enough: cities would crowd all others out.
MOST = 40


def baked_path(home: Home, method: str, base_sha256: str) -> Path:
    """Where the training of an entry on a base lies, once it is made."""
    return home.baked / f"{method}-{base_sha256[:16]}.safetensors"


def bake(
    home: Home,
    methods_dir: Path,
    names: Sequence[str] = METHODS,
    *,
    benchmark: str = "pretrained-facts",
    full: bool = False,
    again: bool = False,
    threads: int = 2,
    say: Say = lambda _m, _f: None,
) -> list[Path]:
    """Train what is not there yet (with `again`, all) and return the files of all `names`.

    Raises `LookupError` for an unknown benchmark and `ValueError` for an entry that does not train apart from the
    requests, for too few facts, or when the training fails.
    """
    if wrong := [name for name in names if name not in METHODS]:
        raise ValueError(f"method: {wrong[0]!r} does not train apart from its requests; those that do: {METHODS}")
    made_for = benchmark_get(benchmark)
    base = base_prepare(home, made_for.base, say=lambda message: say(message, 0.0))
    paths = [baked_path(home, name, base.sha256) for name in names]
    wanted = [name for name, path in zip(names, paths, strict=True) if again or not path.is_file()]
    if not wanted:
        return paths
    scratch = home.baked / f".in.{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        say("asking the base what it says", 0.0)
        _inputs_write(home, scratch, base, made_for, threads)
        for number, name in enumerate(wanted):

            def step(stage: str, fraction: float, name: str = name, number: int = number) -> None:
                say(f"{name}: {stage}", (number + fraction) / len(wanted))

            _train(name, methods_dir, scratch, home.baked, full=full, threads=threads, say=step)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return paths


def facts_apart(benchmark: Benchmark, known: set[str]) -> list[Fact]:
    """Public facts of subjects of which nothing is among the `known` keys, up to `MOST` of a relation, mixed."""
    taken = {fact.subject for fact in benchmark.facts() if fact.key in known}
    apart = [fact for fact in benchmark.facts() if is_public(fact.subject) and fact.subject not in taken]
    seen: Counter[str] = Counter()
    found = []
    for fact in sorted(apart, key=lambda fact: keyed_number(b"palimpsest facts apart", fact.key)):
        seen[fact.relation] += 1
        if seen[fact.relation] <= MOST:
            found.append(fact)
    return found


def _inputs_write(home: Home, folder: Path, base: BaseModelDirectory, benchmark: Benchmark, threads: int) -> None:
    """The folder that a method reads: the contract's, without requests."""
    folder.mkdir(parents=True)
    (folder / "base").symlink_to(base.path)
    job = ContainerJob(
        seed=0, threads=threads, wall_s=86_400, ram_mb=8192, out_mb=1200, max_len=MAX_LEN, base_sha256=base.sha256
    )
    write_atomically(folder / "job.json", job.model_dump_json(indent=2) + "\n")
    neutral = [NeutralText(text=text) for text in benchmark.neutral()]
    request_files_write(folder, {"align": _examples(home, benchmark, base, threads), "neutral": neutral})


def _examples(home: Home, benchmark: Benchmark, base: BaseModelDirectory, threads: int) -> list[AlignExample]:
    table = KnownTable.load(home, benchmark.name, base.sha256)
    public = [fact for fact in benchmark.facts() if is_public(fact.subject)]
    with base_lm(base, threads) as lm:
        known = {fact.key for fact in known_facts(lm, public, benchmark.relations, table)}
        facts = facts_apart(benchmark, known)
        said = base_answers(lm, [question(benchmark, fact) for fact in facts])
    # What the base says is right or, more often, wrong: what counts is that an edit of another fact leaves it so.
    answers = {fact.key: _sentence(text) for fact, text in zip(facts, said, strict=True)}
    examples = align_examples(benchmark, [fact for fact in facts if answers[fact.key]], lambda f: answers[f.key])
    if len(examples) < LEAST:
        raise ValueError(
            f"benchmark: {benchmark.name} has {len(examples)} public facts that {base.name} does not know, "
            f"{LEAST} are needed; choose another benchmark"
        )
    return examples


def _sentence(text: str) -> str:
    """The first sentence of an answer; empty when it was cut off before it ended."""
    head = text.strip().split("\n")[0]
    end = head.find(". ")
    head = head if end < 0 else head[: end + 1]
    return head if head.endswith((".", "!", "?")) else ""


def _train(name: str, methods_dir: Path, inputs: Path, output: Path, *, full: bool, threads: int, say: Say) -> None:
    """Run `python -m methods bake` and pass its progress lines on."""
    command = [sys.executable, "-m", methods_dir.name, "bake", "--method", name, *(["--full"] if full else [])]
    environment = os.environ | {
        "PALIMPSEST_IN": str(inputs),
        "PALIMPSEST_OUT": str(output),
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
    }
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, cwd=methods_dir.parent, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        with process:
            for line in process.stdout or ():
                if line.startswith('{"progress"'):
                    told = json.loads(line)
                    say(told["stage"], told["progress"])
        if process.returncode:
            errors.seek(0)
            tail = errors.read()[-2000:].strip()
            raise ValueError(f"method: {name} could not be trained (exit status {process.returncode}): {tail}")
