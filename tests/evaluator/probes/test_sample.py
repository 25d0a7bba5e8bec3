"""A sample of probes: the same for everybody, a part of each kind and attack, and a question of every request."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from evaluator.probes import FAST_SHARE, PLAIN, Probe, probes_sampled

REQUESTS = 12
KINDS = ("paraphrase", "neighbour", "retain", "same_subject", "lookalike", "same_answer", "choice", "text")


def probe(item_id: str, kind: str, **given: Any) -> Probe:
    role = "forget" if kind in {"verbatim", "paraphrase"} else "utility" if kind in {"choice", "text"} else "retain"
    words = dict.fromkeys(("relation", "topic", "subject", "prompt", "reference", "answer"), "x")
    fields = {"subject_key": item_id, "split_role": role, "aliases": ("x",), "base_correct": True}
    return Probe.model_validate({"item_id": item_id, "kind": kind, **words, **fields, **given})


def release() -> list[Probe]:
    found = []
    for n in range(REQUESTS):
        same = {"subject_key": f"s{n}"}
        found += [probe(f"verbatim-{n}", "verbatim", **same), probe(f"role-{n}", "verbatim", condition="role", **same)]
        found.append(probe(f"doubt-{n}", "paraphrase", condition="doubt", follows=f"first-{n}", **same))
        found.append(probe(f"first-{n}", "paraphrase", condition="first", **same))
        found += [probe(f"{kind}-{n}", kind, base_correct=n % 4 != 0) for kind in KINDS]
    return found


def strata(probes: list[Probe]) -> Counter[tuple[str, str, bool]]:
    return Counter((p.kind, p.condition, p.base_correct) for p in probes)


def test_every_kind_attack_and_request_keeps_something_and_the_whole_is_about_the_share() -> None:
    probes = release()
    found = probes_sampled(probes)
    whole, kept = strata(probes), strata(found)
    assert kept.keys() == whole.keys()
    assert {p.subject_key for p in found if p.kind == "verbatim"} == {f"s{n}" for n in range(REQUESTS)}
    assert kept["verbatim", PLAIN, True] == REQUESTS
    drawn = [name for name in whole if name != ("verbatim", PLAIN, True) and name[1] != "first"]
    assert all(kept[name] == -(-whole[name] // 3) for name in drawn), "a third of each, rounded up"
    assert len(found) < 0.5 * len(probes)


def test_a_sample_is_a_part_in_the_releases_order_and_does_not_depend_on_it() -> None:
    probes = release()
    found = probes_sampled(probes)
    places = [probes.index(p) for p in found]
    assert places == sorted(places) and len(set(places)) == len(places)
    mixed = random.Random(1).sample(probes, len(probes))
    assert {p.item_id for p in probes_sampled(mixed)} == {p.item_id for p in found}
    fewer = [p for p in probes if p.kind != "retain"]
    assert {p.item_id for p in probes_sampled(fewer)} == {p.item_id for p in found if p.kind != "retain"}


def test_a_second_turn_keeps_what_it_follows() -> None:
    names = {p.item_id for p in probes_sampled(release())}
    followed = {p.follows for p in release() if p.follows and p.item_id in names}
    assert followed and followed <= names


def test_a_larger_share_holds_the_smaller_one_and_the_whole_is_everything() -> None:
    probes = release()
    small, large = ({p.item_id for p in probes_sampled(probes, share)} for share in (FAST_SHARE, 0.7))
    assert small < large and probes_sampled(probes, 1) == probes


@pytest.mark.parametrize("share", [0, -0.1, 1.01, float("nan")])
def test_a_share_that_is_none_is_refused_by_name(share: float) -> None:
    with pytest.raises(ValueError, match="share: is"):
        probes_sampled(release(), share)
