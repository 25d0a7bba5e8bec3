"""Training apart from the requests: on facts that no release can hold, kept, and shipped in the image."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from safetensors import safe_open

from evaluator.benchmark.catalogue import benchmark_get
from evaluator.benchmark.facts import DATA
from evaluator.benchmark.known import KnownTable
from evaluator.benchmark.pool import candidates_of
from evaluator.benchmark.toy.world import RELATIONS, toy_facts, toy_strangers
from evaluator.home import Home
from evaluator.model.base import base_load
from evaluator.pipeline import baking
from evaluator.probes import Fact

REPOSITORY = Path(__file__).resolve().parents[3]


def test_facts_apart_share_no_subject_with_any_release(tmp_path: Path) -> None:
    benchmark = benchmark_get("pretrained-facts")
    (file,) = (DATA / "known").glob("pretrained-facts-*.json")
    base_sha256 = file.read_text().split('"base_sha256": "')[1][:64]
    known = KnownTable.load(Home(tmp_path), "pretrained-facts", base_sha256).known
    found = baking.facts_apart(benchmark, known)
    assert 100 < len(found) < 400 and len({fact.relation for fact in found}) > 8
    subjects = {fact.subject for fact in found}
    assert not subjects & {f.subject for facts in candidates_of(benchmark, "hidden", b"any").values() for f in facts}
    assert not subjects & {fact.subject for fact in benchmark.facts() if fact.key in known}
    assert [fact.relation for fact in found] != sorted(fact.relation for fact in found)


def test_an_entry_that_trains_on_its_requests_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="method: 'rome' does not train apart"):
        baking.bake(Home(tmp_path), REPOSITORY / "methods", ["rome"])
    assert not list(tmp_path.iterdir())


@pytest.mark.torch
def test_a_base_that_knows_everything_leaves_too_few_facts(toy_home: Path) -> None:
    with pytest.raises(ValueError, match="toy-world has 0 public facts that toy-llama does not know"):
        baking.bake(Home(toy_home), REPOSITORY / "methods", ["recipe"], benchmark="toy-world")
    assert not list((toy_home / "baked").iterdir())


@pytest.mark.torch
@pytest.mark.slow
def test_what_is_trained_is_kept_and_says_what_it_was_made_for(toy_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = [Fact(name, land, f"X{land}", (f"X{land}",)) for land in toy_strangers() for name in RELATIONS]
    world = dataclasses.replace(benchmark_get("toy-world"), facts=lambda: (*toy_facts(), *unknown))
    monkeypatch.setattr(baking, "benchmark_get", lambda _: world)
    home, base = Home(toy_home), base_load(toy_home / "models" / "toy-llama")
    said: list[str] = []

    def made() -> Path:
        (path,) = baking.bake(home, REPOSITORY / "methods", ["recipe"], say=lambda text, _: said.append(text))
        return path

    try:
        path = made()
        assert path == baking.baked_path(home, "recipe", base.sha256)
        with safe_open(path, framework="pt") as file:
            about = file.metadata()["about"]
        assert base.sha256 in about and '"examples": ' in about
        first, stamp = list(said), path.stat().st_mtime_ns
        assert made() == path and path.stat().st_mtime_ns == stamp
        assert "recipe: done" in first and any("prompt training, step" in text for text in first) and said == first
        assert [file.name for file in home.baked.iterdir()] == [path.name]
    finally:
        for file in home.baked.iterdir():  # other tests build the image of this home
            file.unlink()
