"""What is found of a method's word in its artifact, and what a release from before base values is given."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from evaluator.artifact import SealedArtifact
from evaluator.contract import MethodResult
from evaluator.contract.values import COMPARED
from evaluator.home import Home
from evaluator.model.base import base_load
from evaluator.model.engine.primitives import PRIMITIVES, PrimitiveStore
from evaluator.pipeline.base_values import base_values_add
from evaluator.pipeline.declared import stores_requests
from evaluator.probes import probes_load, probes_write

pytestmark = pytest.mark.torch


def sealed(folder: Path, state: bytes) -> SealedArtifact:
    (folder / "state").mkdir(parents=True)
    (folder / "state" / "memory.bin").write_bytes(state)
    result = MethodResult(contract=1, kind="server", base_sha256="b" * 64, method="m", stores_forget_text=False)
    return SealedArtifact("server", result, folder, "a" * 64, len(state))


@pytest.mark.parametrize(("part", "stored"), [("forget", True), ("triples", True), ("retain", False)])
def test_the_requests_themselves_are_found_and_what_else_a_method_is_given_is_not(
    toy_home: Path, tmp_path: Path, part: str, stored: bool
) -> None:
    release, base = Home(toy_home).release("toy-world-5"), base_load(toy_home / "models" / "toy-llama")
    log = tmp_path / "run.log"
    log.write_text("the method says hello\n")
    artifact = sealed(tmp_path / "sealed", (release / f"{part}.jsonl").read_bytes())
    assert stores_requests(artifact, release, base, log=log) is stored
    assert ("[contents] text of request" in log.read_text() or "[contents] subject of" in log.read_text()) is stored


def test_a_release_from_before_base_values_gets_them_when_a_run_is_measured(toy_home: Path, tmp_path: Path) -> None:
    release, base = Home(toy_home).release("toy-world-5-public"), base_load(toy_home / "models" / "toy-llama")
    kept = probes_load(release / "probes.jsonl")
    old = tmp_path / "probes.jsonl"
    probes_write(old, [probe.model_copy(update={"base_values": {}}) for probe in kept])
    twins = [f"base_{name}" for name in COMPARED]
    rows = [{"item_id": probe.item_id, "condition": probe.condition} | dict.fromkeys(twins) for probe in kept]
    with closing(PrimitiveStore(tmp_path / PRIMITIVES, shared=release / PRIMITIVES)) as store:
        filled = base_values_add(rows, old, base.path, store)
    for probe, row in zip(kept, filled, strict=True):
        assert {name: row[f"base_{name}"] for name in probe.base_values} == probe.base_values, probe.item_id
    assert any(row["base_mrr"] for row in filled)
    assert base_values_add(filled, Path("/nowhere"), base.path, store) == filled, "and nothing is asked where they are"
