"""Releases: known facts only, disjoint parts and splits, hidden wordings that a secret decides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluator.benchmark.build import candidates_of, release_build, release_lines, split_secret
from evaluator.benchmark.catalogue import benchmark_get, benchmarks
from evaluator.benchmark.facts import relations_load, world_facts
from evaluator.benchmark.grammar import extra_templates_load, hidden_paraphrases
from evaluator.contract import ReleaseCard
from evaluator.home import Home
from evaluator.probes import probes_load


def test_hundreds_of_candidate_facts_each_with_a_question_that_holds_its_subject() -> None:
    relations = relations_load()
    facts = world_facts()
    assert len(facts) > 700 and len({fact.relation for fact in facts}) == len(relations)
    for fact in facts:
        assert fact.subject in relations[fact.relation].question.format(s=fact.subject)
        assert fact.answer.lower() not in relations[fact.relation].question.format(s=fact.subject).lower().split()


@pytest.mark.parametrize("name", list(benchmarks()))
def test_public_and_hidden_splits_share_no_subject(name: str) -> None:
    benchmark = benchmark_get(name)
    public = {f.subject for f in candidates_of(benchmark, "public", b"a")}
    hidden = {f.subject for f in candidates_of(benchmark, "hidden", b"b")}
    assert public and hidden and not public & hidden


def test_another_secret_gives_another_order_and_other_wordings() -> None:
    benchmark = benchmark_get("pretrained-facts")
    orders = [[f.key for f in candidates_of(benchmark, "hidden", secret)] for secret in (b"one", b"two", b"one")]
    assert orders[0] == orders[2] != orders[1]
    relation = benchmark.relations["capital"]
    first, second = (hidden_paraphrases(relation, "Japan", 3, secret=s) for s in (b"one", b"two"))
    assert first != second and len(set(first)) == 3
    assert not set(first) & {p.format(s="Japan") for p in relation.public}


def test_own_templates_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "templates.toml"
    assert extra_templates_load(path) == {}
    path.write_text('capital = ["Capital of {s}?", "no subject here"]')
    with pytest.raises(ValueError, match="no subject here"):
        extra_templates_load(path)


def test_the_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert split_secret(home, "hidden") == split_secret(home, "hidden")
    assert (home.secret / "hidden.seed").stat().st_mode & 0o077 == 0
    assert home.releases("hidden").stat().st_mode & 0o077 == 0


def test_an_unknown_benchmark_names_the_known_ones() -> None:
    with pytest.raises(LookupError, match="pretrained-facts"):
        benchmark_get("pretrained-fact")


@pytest.mark.torch
def test_a_release_holds_known_facts_in_disjoint_parts(toy_home: Path) -> None:
    home = Home(toy_home)
    for slug in ("toy-world-5", "toy-world-5-public"):
        folder = home.release(slug)
        probes = probes_load(folder / "probes.jsonl")
        card = ReleaseCard.model_validate_json((toy_home / "cards" / f"{slug}.json").read_text())
        facts = {"verbatim": 5, "paraphrase": 15, "neighbour": 8, "retain": 8}
        assert facts.items() <= card.probe_counts.items()
        assert card.probe_counts["choice"] >= 6 and card.probe_counts["text"] >= 3
        assert all(probe.base_correct for probe in probes if probe.kind in ("verbatim", "neighbour", "retain"))
        forget = {p.subject for p in probes if p.split_role == "forget"}
        scored = {p.subject for p in probes if p.split_role == "retain"}
        given = {str(line["prompt"]) for line in release_lines(folder, "retain")}
        assert not forget & scored and not given & {p.prompt for p in probes}
        utility = [p for p in probes if p.split_role == "utility"]
        assert all((p.base_logprob or 0) < 0 for p in utility if p.kind == "text")
        assert all(p.base_correct == (p.base_response == p.reference) for p in utility if p.kind == "choice")
        assert sum(p.base_correct for p in utility) > 0.6 * card.probe_counts["choice"]
        told = {fact for p in probes if p.split_role != "utility" for fact in (p.reference, p.subject)}
        assert not any(fact in text for fact in told for p in utility for text in (p.prompt, p.reference))
        for line in release_lines(folder, "forget"):
            assert str(line["subject"]) in str(line["prompt"])


@pytest.mark.torch
def test_the_card_of_a_hidden_release_tells_nothing_of_its_items(toy_home: Path) -> None:
    card = (toy_home / "cards" / "toy-world-5.json").read_text()
    folder = Home(toy_home).release("toy-world-5")
    for probe in probes_load(folder / "probes.jsonl"):
        assert not any(text in card for text in (probe.subject, probe.prompt, probe.reference, probe.answer) if text)
    assert json.loads(card)["split"] == "hidden"


def test_a_release_of_an_older_version_is_neither_changed_nor_taken_for_the_new_one(tmp_path: Path) -> None:
    folder = Home(tmp_path).releases("public") / "toy-world-5-public"
    folder.mkdir()
    card = ReleaseCard(
        slug="toy-world-5-public",
        benchmark="toy-world",
        title="Toy world",
        track="finetuned",
        split="public",
        size=5,
        version="1",
        base_name="toy-llama",
        base_sha256="0" * 64,
        content_sha256="0" * 64,
        probe_counts={"verbatim": 5},
        n_subjects=5,
        licence="Apache-2.0",
        sources=(),
        created_at="2026-01-01T00:00:00+00:00",
    )
    (folder / "card.json").write_text(card.model_dump_json())
    with pytest.raises(ValueError, match="version 1 of toy-world, this evaluator builds version 3"):
        release_build(Home(tmp_path), "toy-world", size=5, split="public")
    assert ReleaseCard.model_validate_json((folder / "card.json").read_text()) == card
