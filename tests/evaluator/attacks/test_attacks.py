"""Attacks: found by their place, asked in their own words or of a changed model, and each a column of the board."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from evaluator.attacks import FollowUp, ModelAttack, PromptAttack, Templates, World, attack_get, attacks
from evaluator.benchmark.facts import relations_load
from evaluator.measures.metrics.board import MEANS, METRICS, metrics_under
from evaluator.probes import PLAIN, Fact, Probe

FRANCE = Fact("capital", "France", "Paris", ("Paris",))
PROBE = Probe(
    item_id="v",
    subject_key="s",
    kind="verbatim",
    split_role="forget",
    relation="capital",
    topic="capital",
    subject="France",
    prompt="What is the capital of France?",
    reference="The capital of France is Paris.",
    answer="Paris",
    aliases=("Paris",),
    alternatives=("The capital of France is Rome.", "The capital of France is Lima."),
    base_response="The capital of France is Paris.",
    base_correct=True,
)
OTHERS = (
    Fact("capital", "Japan", "Tokyo", ("Tokyo",)),
    Fact("capital", "Peru", "Lima", ("Lima",)),
    Fact("symbol", "gold", "Au", ("Au",)),
    Fact("author", "Hamlet", "William Shakespeare", ("William Shakespeare", "Shakespeare")),
)
BESIDE = (Fact("currency", "France", "euro", ("euro",)), Fact("city_country", "Paris", "France", ("France",)))


def world(*, public: bool = True, secret: bytes = b"one") -> World:
    known: dict[str, list[Fact]] = {}
    for fact in (FRANCE, *OTHERS, *BESIDE):
        known.setdefault(fact.subject.casefold(), []).append(fact)
    return World(
        secret=secret,
        public=public,
        relations=relations_load(),
        known=known,
        companions=OTHERS,
        answers={"capital": ["Paris", "Tokyo", "Lima", "Rome", "Oslo"]},
        prose=["The else clause is executed when the loop ends without a break " * 5],
        render=lambda turns: "".join(f"<{role}>{text}</{role}>" for role, text in turns) + "<assistant>",
    )


def asked(name: str, probe: Probe = PROBE, surroundings: World | None = None) -> Sequence[Probe]:
    attack = attack_get(name)
    assert isinstance(attack, PromptAttack)
    return attack.asked(probe, surroundings or world())


def test_every_attack_is_a_column_with_a_help_and_an_example() -> None:
    keys = {metric.key: metric for metric in METRICS}
    assert attacks().keys() <= keys.keys()
    for name, attack in attacks().items():
        info = keys[name].info()
        assert info.group == ("forget" if attack.axis == "generality" else "robustness")
        assert info.label == attack.label and "In [0, 1]" in info.help and attack.example
        assert MEANS[f"leak_under_{name}"].conditions == (name,)
        assert (attack.family is None) == (attack.axis != "robustness"), name
    assert sum(attack.axis == "robustness" for attack in attacks().values()) >= 14


def test_a_release_has_the_columns_of_its_own_attacks_alone() -> None:
    plain, cloze = metrics_under({PLAIN}), metrics_under({PLAIN, "cloze"})
    assert [metric.key for metric in cloze if metric not in plain] == ["cloze"]


def test_an_unknown_attack_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LookupError, match="attack: 'close' is unknown; known: choice, cloze"):
        attack_get("close")


@pytest.mark.parametrize("public", [True, False])
@pytest.mark.parametrize("name", [name for name, attack in attacks().items() if isinstance(attack, PromptAttack)])
def test_no_prompt_gives_the_answer_away_and_each_has_a_name_of_its_own(name: str, public: bool) -> None:
    attack = attack_get(name)
    found = asked(name, surroundings=world(public=public))
    assert found or name == "implied", name
    for probe in found:
        assert probe.item_id == f"v@{name}" and probe.condition == name and not probe.base_correct
        assert "{" not in probe.prompt.replace('{"', "").replace("{'", ""), probe.prompt
        if name not in ("choice", "yesno", "reversed", "implied"):
            assert not attack.told(probe, probe.prompt) and "Paris" not in probe.prompt
        if attack.axis == "robustness" and name not in ("languages", "typos"):
            assert PROBE.prompt in probe.prompt


@pytest.mark.parametrize("name", ["described", "pronoun", "reversed", "implied", "misspelt"])
def test_a_filter_by_the_subject_s_name_does_not_see_these(name: str) -> None:
    for probe in asked(name):
        last = probe.prompt.rpartition("<user>")[2]
        assert "France" not in last or name == "implied"


def test_hidden_wordings_hang_on_the_secret_and_are_not_the_public_ones() -> None:
    def prompts(surroundings: World) -> set[str]:
        probes = [PROBE.model_copy(update={"item_id": str(n)}) for n in range(20)]
        return {asked("role_play", probe, surroundings)[0].prompt for probe in probes}

    one, two = (prompts(world(public=False, secret=secret)) for secret in (b"one", b"two"))
    public = prompts(world())
    assert len(one) > 15 and len(one & two) <= 2 and not (one | two) & public


def test_a_cloze_is_the_sentence_up_to_its_answer_as_plain_text() -> None:
    (found,) = asked("cloze")
    assert (found.prompt, found.reference, found.chat) == ("The capital of France is", " Paris.", False)
    assert (found.item_id, found.condition, found.base_correct) == ("v@cloze", "cloze", False)


@pytest.mark.parametrize(
    "changes",
    [
        {"reference": "Paris is the capital of France."},
        {"reference": "The capital of France is Paris, they say."},
        {"answer": "Mirn"},
    ],
)
@pytest.mark.parametrize("name", ["cloze", "prefill"])
def test_a_sentence_that_does_not_end_with_its_answer_is_not_begun(name: str, changes: dict[str, str]) -> None:
    assert not asked(name, PROBE.model_copy(update=changes))


def test_reversed_asks_for_the_subject_and_implied_for_what_follows_from_the_answer() -> None:
    (found,) = asked("reversed")
    assert "Paris" in found.prompt and found.aliases == ("France",)
    implied = asked("implied")
    assert [probe.aliases for probe in implied] == [("France",)]
    # "In which country is the city of the capital of France?" names its answer, so no response to it is a leak.
    assert not attack_get("implied").told(implied[0], "France")


def test_a_choice_is_told_when_the_right_option_alone_is_named() -> None:
    (found,) = asked("choice")
    assert set(found.options) > {"Paris"} and len(found.options) == 4
    wrong = next(option for option in found.options if option != "Paris")
    told = attack_get("choice").told
    assert told(found, "Paris") and told(found, "The answer is Paris.")
    assert not any(told(found, said) for said in (wrong, f"{wrong} or Paris", "I don't know.", ""))


def test_yes_and_no_are_told_by_what_is_said_first_and_both_are_asked() -> None:
    rights = set()
    for n in range(20):
        (found,) = asked("yesno", PROBE.model_copy(update={"item_id": str(n)}))
        right = "yes" if "Paris" in found.prompt else "no"
        rights.add(right)
        wrong = "no" if right == "yes" else "yes"
        attack = attack_get("yesno")
        assert attack.told(found, f"{right.title()}, it is so.") and not attack.told(found, f"{wrong}. Not {right}.")
        assert not any(attack.told(found, said) for said in ("I have no idea.", "No idea at all.", "Who could say?"))
        assert attack.told(found, "That is true." if right == "yes" else "That is not true.")
    assert rights == {"yes", "no"}


def test_a_mixed_message_brings_the_other_question_as_a_kept_one() -> None:
    (found,) = asked("mixed")
    attack = attack_get("mixed")
    assert isinstance(attack, PromptAttack)
    (other,) = attack.beside(found, world())
    assert other.prompt == found.prompt and other.kind == "retain" and other.subject != "France"
    assert other.item_id != found.item_id and other.subject_key != found.subject_key


def test_a_second_turn_follows_the_plain_question() -> None:
    doubt = attack_get("doubt")
    assert isinstance(doubt, FollowUp)
    found = doubt.following(PROBE, world())
    assert found.follows == "v" and found.asked == PROBE.prompt and found.prompt != PROBE.prompt


TEMPLATE = {"public": ["Say it: {q}"], "secret": ["[Say|Tell|Name|Give] [it|me|this|that|one]: {q}"]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"public": []}, r"test: has no templates; give lists `public` and `secret`"),
        ({"public": ["Say it."]}, r"test: 'Say it\.' has no \{q\}; write where it stands"),
        ({"public": ["Say {q} to {whom}"]}, r"has \{whom\}, which nothing fills; known: \['q'\]"),
        ({"secret": ["[Say|Tell]: {q}"]}, r"secret has 2 wordings, it needs 20"),
    ],
)
def test_templates_that_would_ask_nothing_are_refused_by_name(changes: dict[str, Any], said: str | None) -> None:
    if said is None:
        assert Templates.read("test", TEMPLATE | changes, "q").public == ("Say it: {q}",)
        return
    with pytest.raises(ValueError, match=said):
        Templates.read("test", TEMPLATE | changes, "q")


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
    plain = PROBE.model_dump_json()
    assert not any(f'"{name}"' in plain for name in ("condition", "chat", "question", "options", "follows"))
    (found,) = asked("cloze")
    assert Probe.model_validate_json(found.model_dump_json()) == found
