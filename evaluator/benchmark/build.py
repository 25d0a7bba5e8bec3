"""Build a release: pick facts that the base knows, split them by secret, word the probes, freeze the folder."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evaluator.attacks import ModelAttack, PromptAttack, attack_get
from evaluator.benchmark.bases import base_prepare
from evaluator.benchmark.catalogue import Benchmark, benchmark_get
from evaluator.benchmark.facts import Fact
from evaluator.benchmark.grammar import extra_templates_load, hidden_paraphrases, keyed_number, public_paraphrases
from evaluator.benchmark.requests import request_files, request_files_write
from evaluator.contract import ReleaseCard
from evaluator.home import Home, write_atomically
from evaluator.measures.metrics.answer import names_answer
from evaluator.model.base import BaseModelDirectory
from evaluator.model.engine.primitives import PRIMITIVES, PrimitiveStore
from evaluator.probes import FORGET_KINDS, Probe, ProbeKind, probes_write
from evaluator.utility import base_utility, utility_probes

if TYPE_CHECKING:
    from evaluator.model.engine.lm import EvaluatorLM

Split = Literal["public", "hidden"]
Say = Callable[[str, float], None]
PARAPHRASES = 3
#: Wrong answers scored beside the right one.
ALTERNATIVES = 4
#: Utility items of a release: a few seconds of a run on two cores.
UTILITY_CHOICES = 120
UTILITY_TEXTS = 12
#: Share of subjects that public splits draw from; hidden splits draw from the others, whatever their secret.
PUBLIC_SHARE = 0.35


@dataclass(frozen=True)
class Plan:
    """How many facts play each part."""

    forget: int
    neighbour: int
    retain: int
    given: int

    @classmethod
    def of(cls, size: int) -> Plan:
        return cls(forget=size, neighbour=max(8, size // 2 + 5), retain=max(8, size // 2 + 5), given=min(2 * size, 50))

    @property
    def total(self) -> int:
        return self.forget + self.neighbour + self.retain + self.given


def release_slug(benchmark: str, size: int, split: Split) -> str:
    return f"{benchmark}-{size}" + ("-public" if split == "public" else "")


def is_public(subject: str) -> bool:
    """Whether a subject belongs to the public pool; the same for every benchmark and whatever the secret."""
    return keyed_number(b"palimpsest public pool", subject.casefold()) < PUBLIC_SHARE * 2**64


def split_secret(home: Home, split: Split) -> bytes:
    """The seed of a split: a fixed word for the public one, a random file outside the repository for the hidden one."""
    if split == "public":
        return b"palimpsest public split"
    path = home.secret / "hidden.seed"
    if not path.is_file():
        home.secret.mkdir(parents=True, exist_ok=True)
        home.secret.chmod(0o700)
        write_atomically(path, secrets.token_hex(32) + "\n", mode=0o600)
    return path.read_text().strip().encode()


def candidates_of(benchmark: Benchmark, split: Split, secret: bytes) -> list[Fact]:
    """The pool of a split in secret order, each subject once, relations in turn so that none crowds the others out."""
    best: dict[str, Fact] = {}
    for fact in benchmark.facts():
        if is_public(fact.subject) != (split == "public"):
            continue
        held = best.get(fact.subject)
        if held is None or keyed_number(secret, "pick", fact.key) < keyed_number(secret, "pick", held.key):
            best[fact.subject] = fact
    by_relation: dict[str, list[Fact]] = {}
    for fact in sorted(best.values(), key=lambda f: keyed_number(secret, "order", f.key)):
        by_relation.setdefault(fact.relation, []).append(fact)
    ranked = [(place, fact) for group in by_relation.values() for place, fact in enumerate(group)]
    ranked.sort(key=lambda pair: (pair[0], keyed_number(secret, "tie", pair[1].key)))
    return [fact for _, fact in ranked]


def _assign(known: Sequence[Fact], plan: Plan) -> dict[str, list[Fact]]:
    """Forget first; neighbours share a relation with a forget fact; the rest is retained or given to methods."""
    forget = list(known[: plan.forget])
    relations = {fact.relation for fact in forget}
    rest = list(known[plan.forget :])
    neighbour = [f for f in rest if f.relation in relations][: plan.neighbour]
    taken = {f.key for f in neighbour}
    rest = [f for f in rest if f.key not in taken]
    return {
        "forget": forget,
        "neighbour": neighbour,
        "retain": rest[: plan.retain],
        "given": rest[plan.retain : plan.retain + plan.given],
    }


def _wordings(benchmark: Benchmark, fact: Fact, split: Split, secret: bytes, extra: dict[str, list[str]]) -> list[str]:
    """Candidate paraphrases in order of preference: those that the base answers are taken first."""
    relation = benchmark.relations[fact.relation]
    if split == "public":
        return public_paraphrases(relation, fact.subject, len(relation.public))
    return hidden_paraphrases(relation, fact.subject, 2 * PARAPHRASES, secret=secret, extra=extra)


def _alternatives(benchmark: Benchmark, fact: Fact, secret: bytes) -> tuple[str, ...]:
    """Wrong statements in the fact's wording: other answers of its relation, chosen by secret."""

    others = {
        f.answer
        for f in benchmark.facts()
        if f.relation == fact.relation and not names_answer(f.answer, fact.aliases, "")
    }
    chosen = sorted(others, key=lambda answer: keyed_number(secret, "wrong", f"{fact.key}\0{answer}"))
    return tuple(
        benchmark.relations[fact.relation].statement.format(s=fact.subject, a=answer)
        for answer in chosen[:ALTERNATIVES]
    )


def _probes(
    benchmark: Benchmark, parts: dict[str, list[Fact]], wordings: dict[str, list[str]], secret: bytes
) -> list[Probe]:
    def probe(fact: Fact, number: int, kind: ProbeKind, prompt: str) -> Probe:
        relation = benchmark.relations[fact.relation]
        return Probe(
            item_id=f"{kind}-{keyed_number(secret, 'id', fact.key) % 10**8:08d}-{number}",
            subject_key=f"s{keyed_number(secret, 'subject', fact.subject) % 10**8:08d}",
            kind=kind,
            split_role="forget" if kind in FORGET_KINDS else "retain",
            relation=fact.relation,
            topic=relation.topic,
            subject=fact.subject,
            prompt=prompt,
            reference=relation.statement.format(s=fact.subject, a=fact.answer),
            answer=fact.answer,
            aliases=fact.aliases,
            alternatives=_alternatives(benchmark, fact, secret) if kind in FORGET_KINDS else (),
        )

    found: list[Probe] = []
    for fact in parts["forget"]:
        found.append(probe(fact, 0, "verbatim", benchmark.relations[fact.relation].question.format(s=fact.subject)))
        found += [probe(fact, n + 1, "paraphrase", wording) for n, wording in enumerate(wordings[fact.key])]
    kinds: tuple[ProbeKind, ...] = ("neighbour", "retain")
    for kind in kinds:
        for fact in parts[kind]:
            found.append(probe(fact, 0, kind, benchmark.relations[fact.relation].question.format(s=fact.subject)))
    return found


def content_hash(folder: Path) -> str:
    """SHA-256 over (name, SHA-256) of every data file of a release, in name order."""
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.iterdir() if p.suffix == ".jsonl"):
        digest.update(f"{file.name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def release_build(
    home: Home, name: str, *, size: int, split: Split, threads: int = 2, say: Say = lambda _m, _f: None
) -> ReleaseCard:
    """Build (or find) a release and write its public card. `say(message, fraction)` reports progress.

    Raises `LookupError` for an unknown benchmark and `ValueError` when the base knows too few facts, or when the
    release is here in another version: a release that was scored on is never changed.
    """
    from evaluator.tasks.measure import measure  # noqa: PLC0415 - loads torch

    benchmark = benchmark_get(name)
    if size < 1:
        raise ValueError(f"size: {size} is not a positive number of forget requests; usual sizes: {benchmark.sizes}")
    slug = release_slug(name, size, split)
    target = home.releases(split) / slug
    if (target / "card.json").is_file():
        card = ReleaseCard.model_validate_json((target / "card.json").read_text())
        if card.version != benchmark.version:
            raise ValueError(
                f"release: {target} is version {card.version} of {name}, this evaluator builds version "
                f"{benchmark.version}; move that folder away and build again"
            )
        write_atomically(home.cards / f"{slug}.json", card.model_dump_json(indent=2) + "\n")
        return card
    say("base model", 0.0)
    base = base_prepare(home, benchmark.base, say=lambda message: say(message, 0.02))
    secret = split_secret(home, split) + f":{benchmark.name}:{benchmark.version}:{size}".encode()
    extra = extra_templates_load(home.secret / "templates.toml") if split == "hidden" else {}
    scratch = target.with_name(f".{slug}.{os.getpid()}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        with base_lm(base, threads, scratch / PRIMITIVES) as lm:
            parts, probes = _measured(benchmark, lm, base.sha256, Plan.of(size), split, secret, extra, say)
            probes_write(scratch / "probes.jsonl", probes)
            say("keeping what the base makes of every reference", 0.97)
            measure(lm, scratch / "probes.jsonl")
        request_files_write(scratch, request_files(benchmark, parts, secret))
        card = _card(benchmark, base, slug, size, split, probes, content_hash(scratch))
        write_atomically(scratch / "card.json", card.model_dump_json(indent=2) + "\n")
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

    from evaluator.model.engine.lm import EvaluatorLM, tokenizer_load  # noqa: PLC0415 - loads torch
    from evaluator.model.local import LocalModel, model_load, weights_sha256  # noqa: PLC0415 - loads torch

    torch.set_num_threads(threads)
    tokenizer, model = tokenizer_load(base.path), model_load(base.path)
    under_test = LocalModel(model, tokenizer)
    if primitives is None:
        yield EvaluatorLM(under_test, tokenizer)
        return
    with closing(PrimitiveStore(primitives)) as store:
        yield EvaluatorLM(under_test, tokenizer, store=store, fingerprint=weights_sha256(model))


def _measured(
    benchmark: Benchmark,
    lm: EvaluatorLM,
    base_sha256: str,
    plan: Plan,
    split: Split,
    secret: bytes,
    extra: dict[str, list[str]],
    say: Say,
) -> tuple[dict[str, list[Fact]], list[Probe]]:
    from evaluator.benchmark.known import SHORT_ANSWER, KnownTable, base_answers, known_facts  # noqa: PLC0415 - loads torch

    candidates = candidates_of(benchmark, split, secret)
    known: list[Fact] = []
    say(f"asking the base for {plan.total} facts that it knows", 0.05)
    for fact in known_facts(lm, candidates, benchmark.relations, KnownTable.load(benchmark.name, base_sha256)):
        known.append(fact)
        say(f"{len(known)} of {plan.total} known facts", 0.05 + 0.7 * min(1.0, len(known) / plan.total))
        if len(known) >= plan.total and _enough(_assign(known, plan), plan):
            break
    parts = _assign(known, plan)
    if not _enough(parts, plan):
        have = {part: len(facts) for part, facts in parts.items()}
        raise ValueError(
            f"size: the base knows too few facts for {plan}: found {have}; choose a smaller size or another base"
        )
    say("choosing paraphrases that the base answers", 0.78)
    wordings = {fact.key: _wordings(benchmark, fact, split, secret, extra) for fact in parts["forget"]}
    asked = [(fact, wording) for fact in parts["forget"] for wording in wordings[fact.key]]
    right = {
        (fact.key, wording): names_answer(answer, fact.aliases, wording)
        for (fact, wording), answer in zip(
            asked, base_answers(lm, [wording for _, wording in asked], max_tokens=SHORT_ANSWER), strict=True
        )
    }
    for fact in parts["forget"]:
        answered = [wording for wording in wordings[fact.key] if right[(fact.key, wording)]]
        others = [wording for wording in wordings[fact.key] if not right[(fact.key, wording)]]
        wordings[fact.key] = [*answered, *others][:PARAPHRASES]
    probes = _probes(benchmark, parts, wordings, secret)
    say(f"the base answers {len(probes)} probes", 0.85)
    answers = base_answers(lm, [probe.prompt for probe in probes])
    answered_probes = [
        probe.model_copy(
            update={"base_response": answer, "base_correct": names_answer(answer, probe.aliases, probe.prompt)}
        )
        for probe, answer in zip(probes, answers, strict=True)
    ]
    answered_probes += _attacked(benchmark, lm, answered_probes)
    used = {fact.key for facts in parts.values() for fact in facts}
    utility = utility_probes(
        benchmark.utility([fact for fact in candidates if fact.key not in used]),
        secret=secret,
        n_choices=UTILITY_CHOICES,
        n_texts=UTILITY_TEXTS,
    )
    say(f"the base answers {len(utility)} probes of utility", 0.95)
    return parts, [*answered_probes, *base_utility(lm, utility)]


def _attacked(benchmark: Benchmark, lm: EvaluatorLM, probes: Sequence[Probe]) -> list[Probe]:
    """The probes of the benchmark's prompt attacks, in the order of the plain ones: where the base answers them."""
    from evaluator.model.engine.lm import MAX_NEW_TOKENS  # noqa: PLC0415 - loads torch

    ways = [way for way in map(attack_get, benchmark.attacks) if isinstance(way, PromptAttack)]
    asked = [found for probe in probes for way in ways if (found := way.asked(probe))]
    prompts = [lm.apply_chat_template([{"role": "user", "content": p.prompt}]) if p.chat else p.prompt for p in asked]
    answers = lm.generate(prompts, max_tokens=MAX_NEW_TOKENS)
    return [
        probe.model_copy(update={"base_response": answer, "base_correct": True})
        for probe, answer in zip(asked, answers, strict=True)
        if names_answer(answer, probe.aliases, probe.prompt)
    ]


def _enough(parts: dict[str, list[Fact]], plan: Plan) -> bool:
    return (
        len(parts["forget"]) == plan.forget
        and len(parts["neighbour"]) == plan.neighbour
        and len(parts["retain"]) == plan.retain
        and len(parts["given"]) >= min(plan.given, 10)
    )


def _card(
    benchmark: Benchmark,
    base: BaseModelDirectory,
    slug: str,
    size: int,
    split: Split,
    probes: Iterable[Probe],
    content: str,
) -> ReleaseCard:
    counts: dict[str, int] = {}
    subjects: set[str] = set()
    for probe in probes:
        part = probe.condition or probe.kind
        counts[part] = counts.get(part, 0) + 1
        subjects.add(probe.subject_key)
    plain = sum(counts.get(kind, 0) for kind in FORGET_KINDS)
    counts |= {name: plain for name in benchmark.attacks if isinstance(attack_get(name), ModelAttack)}
    return ReleaseCard(
        slug=slug,
        benchmark=benchmark.name,
        title=f"{benchmark.title}, {size} requests, {split} split",
        track=benchmark.track,
        split=split,
        size=size,
        version=benchmark.version,
        base_name=base.name,
        base_sha256=base.sha256,
        content_sha256=content,
        probe_counts=counts,
        n_subjects=len(subjects),
        licence=benchmark.licence,
        sources=benchmark.sources,
        attacks=benchmark.attacks,
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def known_table_build(home: Home, name: str, *, threads: int, say: Say = lambda _m, _f: None) -> Path:
    """Ask the base of a benchmark for every candidate fact and keep the verdicts beside the facts; the file's path."""
    from evaluator.benchmark.known import known_table_make  # noqa: PLC0415 - loads torch

    benchmark = benchmark_get(name)
    base = base_prepare(home, benchmark.base)
    facts = list(benchmark.facts())
    with base_lm(base, threads) as lm:
        table = known_table_make(
            lm, facts, benchmark.relations, say=lambda n: say(f"asked {n} of {len(facts)} facts", n / len(facts))
        )
    return table.write(benchmark.name, base.sha256)


def release_lines(folder: Path, part: str) -> list[dict[str, object]]:
    """The lines of one request file of a release (`forget`, `retain`, `neutral`, `align`, `triples`)."""
    return [json.loads(line) for line in (folder / f"{part}.jsonl").read_text().splitlines() if line]
