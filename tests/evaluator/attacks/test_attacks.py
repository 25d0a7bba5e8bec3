"""Attacks: found by their place, asked in their own words or of a changed model, and each a column of the board."""

from __future__ import annotations

import pytest
import torch

from evaluator.attacks import ModelAttack, PromptAttack, attack_get, attacks
from evaluator.measures.metrics.board import MEANS, METRICS, metrics_under
from evaluator.probes import PLAIN, Probe

VELIA = Probe(
    item_id="v",
    subject_key="s",
    kind="verbatim",
    split_role="forget",
    relation="capital",
    topic="capital",
    subject="Velia",
    prompt="What is the capital of Velia?",
    reference="The capital of Velia is Orsk.",
    answer="Orsk",
    aliases=("Orsk",),
    alternatives=("The capital of Velia is Belgard.", "The capital of Velia is Sarno."),
    base_response="The capital of Velia is Orsk.",
    base_correct=True,
)


def test_every_attack_is_a_column_with_a_help_of_its_own() -> None:
    keys = {metric.key: metric for metric in METRICS}
    assert {"cloze", "rounding_8bit"} <= attacks().keys() <= keys.keys()
    for name, attack in attacks().items():
        info = keys[name].info()
        assert info.group == "robustness" and info.label == attack.label and "In [0, 1]" in info.help
        assert MEANS[f"leak_under_{name}"].condition == name


def test_a_release_has_the_columns_of_its_own_attacks_alone() -> None:
    plain, cloze = metrics_under({PLAIN}), metrics_under({PLAIN, "cloze"})
    assert [metric.key for metric in cloze if metric not in plain] == ["cloze"]


def test_an_unknown_attack_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LookupError, match="attack: 'close' is unknown; known: cloze"):
        attack_get("close")


def test_a_cloze_is_the_sentence_up_to_its_answer_as_plain_text() -> None:
    cloze = attack_get("cloze")
    assert isinstance(cloze, PromptAttack)
    found = cloze.asked(VELIA)
    assert found is not None
    assert (found.prompt, found.reference, found.chat) == ("The capital of Velia is", " Orsk.", False)
    assert found.alternatives == (" Belgard.", " Sarno.")
    assert (found.item_id, found.condition, found.base_correct) == ("v@cloze", "cloze", False)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "paraphrase"},
        {"reference": "Orsk is the capital of Velia."},
        {"reference": "The capital of Velia is Orsk, they say."},
        {"answer": "Mirn"},
    ],
)
def test_a_sentence_that_does_not_end_with_its_answer_has_no_cloze(changes: dict[str, str]) -> None:
    cloze = attack_get("cloze")
    assert isinstance(cloze, PromptAttack)
    assert cloze.asked(VELIA.model_copy(update=changes)) is None


def test_rounding_leaves_255_values_a_row_and_moves_none_by_more_than_half_a_step() -> None:
    rounding = attack_get("rounding_8bit")
    assert isinstance(rounding, ModelAttack)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2000, 3), torch.nn.LayerNorm(3))
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    after = dict(rounding.applied(model).named_parameters())
    step = before["0.weight"].abs().amax(dim=1, keepdim=True) / 127
    assert ((after["0.weight"] - before["0.weight"]).abs() <= step / 2 + 1e-7).all()
    assert all(len(row.unique()) <= 255 for row in after["0.weight"])
    assert not torch.equal(after["0.weight"], before["0.weight"])
    for name in ("0.bias", "1.weight", "1.bias"):
        assert torch.equal(after[name], before[name])


def test_what_is_plain_is_not_written_so_that_older_releases_keep_their_bytes() -> None:
    assert "condition" not in VELIA.model_dump_json() and "chat" not in VELIA.model_dump_json()
    cloze = attack_get("cloze")
    assert isinstance(cloze, PromptAttack)
    found = cloze.asked(VELIA)
    assert found is not None and Probe.model_validate_json(found.model_dump_json()) == found
