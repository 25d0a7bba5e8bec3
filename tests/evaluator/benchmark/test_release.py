"""Releases: known facts only, disjoint parts and splits, hidden wordings that a secret decides."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from evaluator.benchmark.build import release_build, release_lines
from evaluator.benchmark.catalogue import benchmark_get, benchmarks
from evaluator.benchmark.facts import DATA, relations_load, world_facts
from evaluator.benchmark.known import KnownTable
from evaluator.benchmark.own import own_added, own_facts_load
from evaluator.benchmark.pool import Plan, Pool, candidates_of, is_public, parts_of
from evaluator.benchmark.secret import release_key, split_secret
from evaluator.benchmark.wordings import cores_check, hidden_paraphrases, templates_load
from evaluator.contract import ReleaseCard
from evaluator.contract.values import ERASED
from evaluator.home import Home
from evaluator.probes import Fact, pattern_size, pattern_wording, probes_load


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
    public = {f.subject for facts in candidates_of(benchmark, "public", b"a").values() for f in facts}
    hidden = {f.subject for facts in candidates_of(benchmark, "hidden", b"b").values() for f in facts}
    assert public and hidden and not public & hidden


def test_another_secret_gives_another_order_and_other_wordings() -> None:
    benchmark = benchmark_get("pretrained-facts")
    orders = [candidates_of(benchmark, "hidden", secret) for secret in (b"one", b"two", b"one")]
    assert list(orders[0].items()) == list(orders[2].items()) != list(orders[1].items())
    relation = benchmark.relations["capital"]
    first, second = (
        set(hidden_paraphrases(relation, "Japan", 9, secret=s, frames=benchmark.frames)) for s in (b"one", b"two")
    )
    assert len(first) == 9 and len(first & second) <= 1
    assert not first & {p.format(s="Japan") for p in relation.public}


def test_a_pattern_gives_each_of_its_wordings_once() -> None:
    pattern = "[Which|What] [city|town|place] is {s}'s capital[?|, please?]"
    wordings = {pattern_wording(pattern, number) for number in range(pattern_size(pattern))}
    assert len(wordings) == pattern_size(pattern) == 12
    assert "What town is {s}'s capital, please?" in wordings


def test_every_relation_of_a_hidden_split_has_wordings_that_are_no_list() -> None:
    benchmark = benchmark_get("pretrained-facts")
    for relation in benchmark.relations.values():
        cores_check(relation)
        patterns = (relation.cores, benchmark.frames.openings, benchmark.frames.closings)
        ways = [sum(map(pattern_size, part)) for part in patterns]
        assert math.prod(ways) > 300_000, relation.name


def test_own_templates_are_checked(tmp_path: Path) -> None:
    relations = benchmark_get("pretrained-facts").relations
    path = tmp_path / "templates.toml"
    assert templates_load(path, relations) == {}
    path.write_text('capital = ["Capital of {s}?", "no subject here"]')
    with pytest.raises(ValueError, match="no subject here"):
        templates_load(path, relations)
    path.write_text('capitol = ["Capital of {s}?"]')
    with pytest.raises(ValueError, match="'capitol' is no relation here"):
        templates_load(path, relations)


OWN = """
[moon]
question = "Which planet does {s} go round?"
statement = "{s} goes round {a}."
topic = "planet"
public = ["{s} is a moon of which planet?", "Name the planet of {s}."]
facts = [["Phobos", "Mars"], ["Titan", "Saturn", "the planet Saturn"]]
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[author]\nfacts = [["Hamlet", "Shakespeare"]]', "'Hamlet' is there already"),
        ('[author]\nfacts = [["Emma", "Austen"], ["Emma", "Jane Austen"]]', "'Emma' is there already"),
        ('[author]\nfacts = [["Austen\'s Emma", "Jane Austen", "Austen"]]', "names its answer 'Jane Austen'"),
        ('[author]\nfacts = [["Emma"]]', "is no fact; write"),
        ('[moon]\nfacts = [["Phobos", "Mars"]]', "moon: has no template"),
        (OWN.replace("goes round {a}", "goes round it"), "has no {a}"),
        (OWN.replace("Name the planet of {s}.", "Name the planet."), "has no {s}"),
        ("[author", "is no TOML"),
    ],
)
def test_own_facts_that_would_spoil_a_release_are_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "facts.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(said)):
        own_facts_load(path, benchmark_get("pretrained-facts"))


def test_own_facts_and_wordings_join_the_hidden_pool_alone(tmp_path: Path) -> None:
    (tmp_path / "facts.toml").write_text(OWN)
    with pytest.raises(ValueError, match="moon has 0 of its own, a hidden split needs 20"):
        cores_check(own_added(benchmark_get("pretrained-facts"), tmp_path).relations["moon"])
    (tmp_path / "templates.toml").write_text(
        'moon = ["[Which|What|Say which|Tell me which] planet does {s} [go|run|travel|move|circle] round?"]'
    )
    benchmark = own_added(benchmark_get("pretrained-facts"), tmp_path)
    cores_check(benchmark.relations["moon"])
    hidden, public = (candidates_of(benchmark, split, b"x") for split in ("hidden", "public"))
    assert {fact.subject for fact in hidden["moon"]} == {"Phobos", "Titan"} and "moon" not in public


def pool_of(sizes: dict[str, int], *, share: int, used: Iterable[str] = ()) -> Pool:
    facts = {
        name: [Fact(name, f"{name} {number}", "x", ("x",)) for number in range(size)] for name, size in sizes.items()
    }
    return Pool({name: iter(found) for name, found in facts.items()}, share=share, used=frozenset(used))


def test_a_hidden_release_takes_at_most_a_tenth_of_what_is_known_of_each_relation() -> None:
    pool = pool_of({"large": 200, "small": 25, "tiny": 9}, share=10)
    taken = Counter(fact.relation for fact in pool.forget(10))
    assert taken == {"large": 8, "small": 2}
    with pytest.raises(ValueError, match=r"22 are left for 30 requests .*large 200, small 25, tiny 9.*facts\.toml"):
        pool_of({"large": 200, "small": 25, "tiny": 9}, share=10).forget(30)


def test_what_another_hidden_release_has_used_is_neither_taken_nor_counted() -> None:
    used = [f"large {number}" for number in range(95)]
    pool = pool_of({"large": 200}, share=10, used=used)
    parts = parts_of(pool, Plan(forget=10, neighbour=8, retain=8, given=20))
    assert not {fact.subject for facts in parts.values() for fact in facts} & set(used)
    subjects = [fact.subject for facts in parts.values() for fact in facts]
    assert len(set(subjects)) == len(subjects) == 46
    with pytest.raises(ValueError, match="10 are left for 11 requests"):
        pool_of({"large": 200}, share=10, used=used).forget(11)


def test_facts_with_a_forgotten_answer_are_of_other_subjects_and_none_is_taken_twice() -> None:
    facts = [Fact("country", f"city {n}", f"land {n % 9}", (f"Land {n % 9}", f"L{n % 9}")) for n in range(60)]
    alone = [Fact("capital", f"land {n}", f"capital {n}", (f"capital {n}",)) for n in range(60)]
    pool = Pool({"country": iter(facts), "capital": iter(alone)}, share=10, used=frozenset({"city 9"}))
    parts = parts_of(pool, Plan(forget=8, neighbour=8, retain=8, given=20, same_answer=9))
    shared = [fact for fact in parts["forget"] if fact.relation == "country"]
    assert len(parts["same_answer"]) == len(shared) == 4
    assert all(a.same_answer(b) and a.subject != b.subject for a, b in zip(parts["same_answer"], shared, strict=True))
    subjects = [fact.subject for found in parts.values() for fact in found]
    assert len(set(subjects)) == len(subjects) and "city 9" not in subjects


def test_what_ships_says_nothing_of_what_the_base_knows_of_hidden_subjects(tmp_path: Path) -> None:
    benchmark = benchmark_get("pretrained-facts")
    subjects = {fact.key: fact.subject for fact in benchmark.facts()}
    for path in (DATA / "known").glob("pretrained-facts-*.json"):
        record = json.loads(path.read_text())
        table = KnownTable.load(Home(tmp_path), "pretrained-facts", record["base_sha256"])
        assert len(table.known) > 200
        assert all(is_public(subjects[key]) for key in table.known | table.unknown)


def test_what_is_found_on_an_installation_is_its_secret(tmp_path: Path) -> None:
    home = Home(tmp_path)
    table = KnownTable.load(home, "pretrained-facts", "0" * 64)
    table.known.add("capital:Japan")
    assert table.write(home).stat().st_mode & 0o077 == 0
    assert KnownTable.load(home, "pretrained-facts", "0" * 64).known == {"capital:Japan"}


def test_the_key_of_a_release_is_the_same_on_every_host_that_shares_the_seed(tmp_path: Path) -> None:
    first, second, stranger = (Home(tmp_path / name) for name in ("first", "second", "stranger"))
    split_secret(first, "hidden")
    second.secret.mkdir(parents=True)
    (second.secret / "hidden.seed").write_bytes((first.secret / "hidden.seed").read_bytes())
    folders = [home.releases("hidden") / "toy-world-5" for home in (first, second, stranger)]
    keys = []
    for home, folder in zip((first, second, stranger), folders, strict=True):
        folder.mkdir()
        keys.append(release_key(home, folder, "c" * 64))
        assert (folder / "release.key").stat().st_mode & 0o077 == 0
    assert keys[0] == keys[1] != keys[2] and len(keys[0]) == 32
    (folders[0] / "release.key").write_text("not a key")
    with pytest.raises(ValueError, match="holds no key; restore it"):
        release_key(first, folders[0], "c" * 64)


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
        plain = Counter(p.kind for p in probes if not p.condition)
        assert plain["verbatim"] == 5 and plain["paraphrase"] >= 8 and plain["lookalike"] >= 3
        kept = Counter(p.kind for p in probes if p.split_role == "retain")
        assert all(kept[kind] >= 5 for kind in ("neighbour", "retain", "same_subject"))
        assert {"cloze", "rounding_8bit", "sampled"} <= set(card.attacks) and card.base_rates["cloze"][1] == 5
        assert card.probe_counts["choice"] >= 6 and card.probe_counts["text"] >= 3
        assert all(p.base_correct for p in probes if p.split_role == "retain" or p.condition or p.kind == "verbatim")
        values = [probe.unknown_values for probe in probes if probe.kind == "verbatim" and not probe.condition]
        assert all(0 <= found[name] < 0.7 for found in values for name in ERASED)
        forget = {p.subject for p in probes if p.split_role == "forget"}
        scored = {p.subject for p in probes if p.kind in ("neighbour", "retain")}
        given = {str(line["prompt"]) for line in release_lines(folder, "retain")}
        assert not forget & scored and not given & {p.prompt for p in probes}
        utility = [p for p in probes if p.split_role == "utility"]
        assert all((p.base_logprob or 0) < 0 for p in utility if p.kind == "text")
        assert all(p.base_correct == (p.base_response == p.reference) for p in utility if p.kind == "choice")
        assert sum(p.base_correct for p in utility) > 0.6 * card.probe_counts["choice"]
        told = {fact for p in probes if p.split_role != "utility" for fact in (p.reference, p.subject) if fact}
        assert not any(fact in text for fact in told for p in utility for text in (p.prompt, p.reference))
        for line in release_lines(folder, "forget"):
            assert str(line["subject"]) in str(line["prompt"])


@pytest.mark.torch
def test_the_card_of_a_hidden_release_tells_nothing_of_its_items(toy_home: Path) -> None:
    card = (toy_home / "cards" / "toy-world-5.json").read_text()
    folder = Home(toy_home).release("toy-world-5")
    for probe in (probe for probe in probes_load(folder / "probes.jsonl") if probe.relation != "kind"):
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
    with pytest.raises(
        ValueError, match=f"version 1 of toy-world, this evaluator builds version {benchmark_get('toy-world').version}"
    ):
        release_build(Home(tmp_path), "toy-world", size=5, split="public")
    assert ReleaseCard.model_validate_json((folder / "card.json").read_text()) == card
