"""Build a release: pick facts that the base knows, split them by secret, word the probes, freeze the folder."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.attacks import ModelAttack, SampledAttack, attack_get
from evaluator.benchmark.bases import base_prepare
from evaluator.benchmark.battery import Battery, world_make
from evaluator.benchmark.catalogue import Benchmark, benchmark_get, release_slug
from evaluator.benchmark.own import own_added
from evaluator.benchmark.pool import POOL_SHARE, Plan, Pool, candidates_of, parts_of
from evaluator.benchmark.requests import request_files, request_files_write
from evaluator.benchmark.secret import Split, release_key, split_secret
from evaluator.benchmark.unknown import unknown_values
from evaluator.benchmark.wordings import cores_check
from evaluator.contract import ReleaseCard
from evaluator.contract.values import COMPARED
from evaluator.home import Home, write_atomically
from evaluator.measures.probe_values import answered
from evaluator.model.base import BaseModelDirectory
from evaluator.model.engine.primitives import PRIMITIVES, PrimitiveStore
from evaluator.probes import PLAIN, Fact, Probe, ProbeKind, probes_load, probes_write
from evaluator.trace import TraceRow
from evaluator.utility import base_utility, utility_probes

if TYPE_CHECKING:
    from evaluator.model.engine.lm import EvaluatorLM

Say = Callable[[str, float], None]
#: Utility items of a release: a few seconds of a run on two cores.
UTILITY_CHOICES = 120
UTILITY_TEXTS = 12


def content_hash(folder: Path) -> str:
    """SHA-256 over (name, SHA-256) of every data file of a release, in name order."""
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.iterdir() if p.suffix == ".jsonl"):
        digest.update(f"{file.name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def release_build(
    home: Home,
    name: str,
    *,
    size: int,
    split: Split,
    round_: int = 1,
    threads: int = 2,
    say: Say = lambda _m, _f: None,
) -> ReleaseCard:
    """Build (or find) a release and write its public card. `say(message, fraction)` reports progress.

    A hidden release takes no subject that another hidden release of its benchmark here has; `round_` tells apart those
    of one size, of which the earlier ones have retired.

    Raises `LookupError` for an unknown benchmark and `ValueError` when the base knows too few facts, when own facts or
    wordings are not as they must be, or when the release is here in another version: a release that was scored on is
    never changed.
    """
    from evaluator.tasks.measure import measure  # noqa: PLC0415 - loads torch

    benchmark = benchmark_get(name)
    if round_ < 1 or (split == "public" and round_ > 1):
        raise ValueError(f"round: {round_} of a {split} split; rounds count from 1, and public splits have one")
    if size < 1:
        raise ValueError(f"size: {size} is not a positive number of forget requests; usual sizes: {benchmark.sizes}")
    slug = release_slug(name, size, split, round_)
    target = home.releases(split) / slug
    if (target / "card.json").is_file():
        card = ReleaseCard.model_validate_json((target / "card.json").read_text())
        if card.version != benchmark.version:
            raise ValueError(
                f"release: {target} is version {card.version} of {name}, this evaluator builds version "
                f"{benchmark.version}; move that folder away and build again, or build the next round (--round)"
            )
        write_atomically(home.cards / f"{slug}.json", card.model_dump_json(indent=2) + "\n")
        return card
    secret = split_secret(home, split) + f":{benchmark.name}:{benchmark.version}:{size}:{round_}".encode()
    if split == "hidden":
        benchmark = own_added(benchmark, home.secret)
        for relation in benchmark.relations.values():
            cores_check(relation, least=benchmark.least_cores)
    say("base model", 0.0)
    base = base_prepare(home, benchmark.base, say=lambda message: say(message, 0.02))
    scratch = target.with_name(f".{slug}.{os.getpid()}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        with base_lm(base, threads, scratch / PRIMITIVES) as lm:
            candidates = candidates_of(benchmark, split, secret)
            pool = _pool(home, benchmark, lm, base.sha256, candidates, split, slug)
            say(f"asking the base for facts that it knows, {POOL_SHARE} for each request", 0.05)
            parts = parts_of(pool, Plan.of(size))
            say(f"the base knows {pool.size} of the facts that it was asked for", 0.75)
            probes, rates = _worded(benchmark, lm, parts, split, secret, say)
            probes += _utility(benchmark, lm, candidates, parts, secret)
            probes_write(scratch / "probes.jsonl", probes)
            say("keeping what the base makes of every reference", 0.97)
            unknown = unknown_values(home, benchmark, lm, base.sha256, parts["forget"], secret)
            probes = _valued(probes, measure(lm, scratch / "probes.jsonl"), unknown)
            probes_write(scratch / "probes.jsonl", probes)
        request_files_write(scratch, request_files(benchmark, parts, secret))
        card = _card(benchmark, base, slug, size, split, round_, pool.size, probes, rates, content_hash(scratch))
        write_atomically(scratch / "card.json", card.model_dump_json(indent=2) + "\n")
        if split == "hidden":
            release_key(home, scratch, card.content_sha256)
        os.replace(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    write_atomically(home.cards / f"{slug}.json", card.model_dump_json(indent=2) + "\n")
    say("done", 1.0)
    return card


@contextmanager
def base_lm(base: BaseModelDirectory, threads: int, primitives: Path | None = None) -> Iterator[EvaluatorLM]:
    """The base model itself as a model under test; what it answers is kept in the file `primitives`."""
    import torch  # noqa: PLC0415 - loads torch

    torch.set_num_threads(threads)
    if primitives is None:
        yield base_under_test(base.path)
        return
    with closing(PrimitiveStore(primitives)) as store:
        yield base_under_test(base.path, store)


def base_under_test(path: Path, store: PrimitiveStore | None = None) -> EvaluatorLM:
    """The model of a base's folder, asked through the engine; what it answers is kept in `store`."""
    from evaluator.model.engine.lm import EvaluatorLM, tokenizer_load  # noqa: PLC0415 - loads torch
    from evaluator.model.local import LocalModel, model_load, weights_sha256  # noqa: PLC0415 - loads torch

    tokenizer, model = tokenizer_load(path), model_load(path)
    under_test = LocalModel(model, tokenizer)
    if store is None:
        return EvaluatorLM(under_test, tokenizer)
    fingerprint = weights_sha256(model)
    store.base_write(fingerprint)
    return EvaluatorLM(under_test, tokenizer, store=store, fingerprint=fingerprint)


def _pool(
    home: Home,
    benchmark: Benchmark,
    lm: EvaluatorLM,
    base_sha256: str,
    candidates: Mapping[str, Sequence[Fact]],
    split: Split,
    slug: str,
) -> Pool:
    from evaluator.benchmark.known import KnownTable, known_facts  # noqa: PLC0415 - loads torch

    table = KnownTable.load(home, benchmark.name, base_sha256)
    streams = {
        relation: known_facts(lm, facts, benchmark.relations, table, home if split == "hidden" else None)
        for relation, facts in candidates.items()
    }
    if split == "public":
        return Pool(streams, share=1)
    others = [folder for folder in home.releases("hidden").glob(f"{benchmark.name}-*") if folder.name != slug]
    used = {probe.subject for folder in others for probe in probes_load(folder / "probes.jsonl") if probe.subject}
    return Pool(streams, share=POOL_SHARE, used=frozenset(used))


def _worded(
    benchmark: Benchmark, lm: EvaluatorLM, parts: Mapping[str, Sequence[Fact]], split: Split, secret: bytes, say: Say
) -> tuple[list[Probe], dict[str, tuple[int, int]]]:
    """The probes of facts with the base's answers, and of each style how many of the probes tried it answers."""
    from evaluator.benchmark.known import SHORT_ANSWER  # noqa: PLC0415 - loads torch
    from evaluator.model.engine.lm import MAX_NEW_TOKENS  # noqa: PLC0415 - loads torch
    from evaluator.tasks.measure import second_turns  # noqa: PLC0415 - loads torch

    def prompts(probes: Sequence[Probe]) -> list[str]:
        return [lm.apply_chat_template([{"role": "user", "content": p.prompt}]) if p.chat else p.prompt for p in probes]

    world = world_make(benchmark, parts["given"], secret, lm, public=split == "public")
    battery = Battery(
        benchmark, world, secret, split, ask=lambda probes: lm.generate(prompts(probes), max_tokens=SHORT_ANSWER)
    )
    say("asking the base for every forget fact in every style", 0.78)
    probes = battery.forget(parts["forget"])
    say("asking the base for what is kept, in the same styles", 0.85)
    kept: dict[ProbeKind, Sequence[Fact]] = {
        "neighbour": parts["neighbour"],
        "retain": parts["retain"],
        "same_subject": battery.same_subject(parts["forget"]),
        "same_answer": parts["same_answer"],
    }
    probes += [*battery.kept(kept), *battery.lookalikes(parts["forget"])]
    say(f"the base answers {len(probes)} probes", 0.9)
    first = [probe for probe in probes if not probe.follows]
    said = dict(zip((p.item_id for p in first), lm.generate(prompts(first), max_tokens=MAX_NEW_TOKENS), strict=True))
    following = [probe for probe in probes if probe.follows]
    turns = second_turns(lm, following, {probe.item_id: said[probe.follows] for probe in following})
    said |= dict(zip((probe.item_id for probe in following), turns, strict=True))
    found = [
        probe.model_copy(
            update={"base_response": said[probe.item_id], "base_correct": answered(probe, said[probe.item_id])}
        )
        for probe in probes
    ]
    harmless = [probe.base_correct for probe in found if probe.kind == "lookalike"]
    battery.rates["lookalike"] = (sum(harmless), len(harmless))
    for name in {probe.condition for probe in following}:
        own = [probe.base_correct for probe in found if probe.condition == name and probe.split_role == "forget"]
        battery.rates[name] = (sum(own), len(own))
    # Under an attack, and of kept facts, only that counts which the base answers.
    return [p for p in found if p.base_correct or (p.split_role == "forget" and p.condition == PLAIN)], battery.rates


def _utility(
    benchmark: Benchmark,
    lm: EvaluatorLM,
    candidates: Mapping[str, Sequence[Fact]],
    parts: Mapping[str, Sequence[Fact]],
    secret: bytes,
) -> list[Probe]:
    used = {fact.key for facts in parts.values() for fact in facts}
    spare = [fact for facts in candidates.values() for fact in facts if fact.key not in used]
    items = benchmark.utility(spare)
    return base_utility(lm, utility_probes(items, secret=secret, n_choices=UTILITY_CHOICES, n_texts=UTILITY_TEXTS))


def _valued(
    probes: Sequence[Probe], rows: Sequence[TraceRow], unknown: Mapping[str, Mapping[str, float]]
) -> list[Probe]:
    """The probes with the base's own values of them; under an attack, what counts is what is left of the answer.

    `unknown`: of each relation the base's values on facts that it does not know, "" for all together.
    """
    found = []
    for probe, row in zip(probes, rows, strict=True):
        own = {name: row[name] for name in COMPARED if row[name] is not None and probe.condition == PLAIN}
        scored = probe.kind == "verbatim" and probe.condition == PLAIN
        never = dict(unknown.get(probe.relation) or unknown.get("", {})) if scored else {}
        found.append(probe.model_copy(update={"base_values": own, "unknown_values": never}))
    return found


def _card(
    benchmark: Benchmark,
    base: BaseModelDirectory,
    slug: str,
    size: int,
    split: Split,
    round_: int,
    pool: int,
    probes: Iterable[Probe],
    rates: Mapping[str, tuple[int, int]],
    content: str,
) -> ReleaseCard:
    counts: dict[str, int] = {}
    subjects: set[str] = set()
    for probe in probes:
        part = probe.condition or probe.kind
        counts[part] = counts.get(part, 0) + 1
        subjects.add(probe.subject_key)
    again = [name for name in benchmark.attacks if isinstance(attack_get(name), ModelAttack | SampledAttack)]
    counts |= {name: counts.get("verbatim", 0) for name in again}
    return ReleaseCard(
        slug=slug,
        benchmark=benchmark.name,
        title=f"{benchmark.title}, {size} requests, {split} split" + (f", round {round_}" if round_ > 1 else ""),
        track=benchmark.track,
        split=split,
        size=size,
        version=benchmark.version,
        round=round_,
        pool=pool,
        base_name=base.name,
        base_sha256=base.sha256,
        content_sha256=content,
        probe_counts=counts,
        n_subjects=len(subjects),
        licence=benchmark.licence,
        sources=benchmark.sources,
        attacks=tuple(name for name in benchmark.attacks if counts.get(name)),
        base_rates={name: (right, asked) for name, (right, asked) in sorted(rates.items()) if asked},
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def known_table_build(home: Home, name: str, *, threads: int, say: Say = lambda _m, _f: None) -> Path:
    """Ask the base of a benchmark for every candidate fact and keep the verdicts in the data folder; the file's path.
    Goes on where it was stopped.
    """
    from evaluator.benchmark.known import KnownTable, known_facts  # noqa: PLC0415 - loads torch

    benchmark = own_added(benchmark_get(name), home.secret)
    base = base_prepare(home, benchmark.base)
    facts = list(benchmark.facts())
    table = KnownTable.load(home, name, base.sha256)
    with base_lm(base, threads) as lm:
        for _ in known_facts(lm, facts, benchmark.relations, table, home):
            asked = len(table.known) + len(table.unknown)
            say(f"{len(table.known)} of {asked} facts are known, {len(facts)} in all", asked / len(facts))
    return table.write(home)


def release_lines(folder: Path, part: str) -> list[dict[str, object]]:
    """The lines of one request file of a release (`forget`, `retain`, `neutral`, `align`, `triples`)."""
    return [json.loads(line) for line in (folder / f"{part}.jsonl").read_text().splitlines() if line]
