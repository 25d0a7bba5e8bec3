"""What organisers add to the pool of hidden splits: own facts and own wordings, in files that no repository holds."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluator.answers.names import names_answer
from evaluator.benchmark.catalogue import Benchmark
from evaluator.benchmark.wordings import templates_load
from evaluator.probes import Fact, Relation

FACTS, TEMPLATES = "facts.toml", "templates.toml"
_WORDED = ("question", "statement", "topic")


def own_added(benchmark: Benchmark, folder: Path) -> Benchmark:
    """The benchmark with the organisers' `facts.toml` and `templates.toml` of a folder, if they are there.

    Raises `ValueError` naming file, relation, subject and what is wrong with it.
    """
    relations, facts = own_facts_load(folder / FACTS, benchmark)
    cores = templates_load(folder / TEMPLATES, relations)
    relations = {
        name: replace(relation, cores=(*relation.cores, *cores.get(name, ()))) for name, relation in relations.items()
    }
    if not facts and relations == benchmark.relations:
        return benchmark
    everything = (*benchmark.facts(), *facts)
    own = frozenset(fact.key for fact in facts)
    return replace(benchmark, relations=relations, facts=lambda: everything, own=own)


def own_facts_load(path: Path, benchmark: Benchmark) -> tuple[dict[str, Relation], list[Fact]]:
    """All relations, and the facts of `facts.toml`: one table a relation, `facts` a list of [subject, answer, alias …].

    A relation of the organisers' own also has `question`, `statement`, `topic` and `public`, a list of at least two
    other wordings. An absent file adds nothing. Raises `ValueError` for a doubled subject, an answer inside its
    question, a relation without template.
    """
    relations, found = dict(benchmark.relations), []
    if not path.is_file():
        return relations, []
    try:
        tables = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path.name}: is no TOML: {error}") from None
    known = {fact.key for fact in benchmark.facts()}
    for name, table in tables.items():
        if name not in relations:
            relations[name] = _relation(path.name, name, table)
        for line in table.get("facts", ()):
            fact = _fact(path.name, relations[name], line)
            if fact.key in known:
                raise ValueError(
                    f"{path.name}: {name}: {fact.subject!r} is there already; each subject once in a relation: remove "
                    "one, or write a second answer as an alias of the first"
                )
            known.add(fact.key)
            found.append(fact)
    return relations, found


def _relation(file: str, name: str, table: Mapping[str, Any]) -> Relation:
    missing = [key for key in _WORDED if not isinstance(table.get(key), str) or not table[key]]
    if missing or len(table.get("public", ())) < 2:
        raise ValueError(
            f"{file}: {name}: has no template ({', '.join(missing) or 'public'}); give question, statement, topic and "
            "two public wordings, or use a relation of the benchmark"
        )
    worded = [table["question"], table["statement"], *table["public"]]
    if lacking := [text for text in worded if "{s}" not in text]:
        raise ValueError(f"{file}: {name}: {lacking[0]!r} has no {{s}}; write where the subject stands")
    if "{a}" not in table["statement"]:
        raise ValueError(f"{file}: {name}: {table['statement']!r} has no {{a}}; write where the answer stands")
    return Relation(name, table["question"], table["statement"], table["topic"], tuple(table["public"]), ())


def _fact(file: str, relation: Relation, line: Any) -> Fact:
    if not isinstance(line, list) or len(line) < 2 or not all(isinstance(text, str) and text.strip() for text in line):
        raise ValueError(f"{file}: {relation.name}: {line!r} is no fact; write [subject, answer, alias …]")
    subject, answer, *aliases = (text.strip() for text in line)
    question = relation.question.format(s=subject)
    if names_answer(question, (answer, *aliases), ""):
        raise ValueError(
            f"{file}: {relation.name}: the question about {subject!r} names its answer {answer!r}; leave it out"
        )
    return Fact(relation.name, subject, answer, (answer, *aliases))
