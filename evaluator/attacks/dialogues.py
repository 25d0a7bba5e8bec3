"""Dialogues: the question after other turns, after examples, or with the answer's first words already said."""

from __future__ import annotations

from collections.abc import Sequence

from evaluator.attacks.base import FollowUp, PromptAttack
from evaluator.attacks.templates import Templates
from evaluator.attacks.world import World, table
from evaluator.probes import Probe


def _lines(name: str) -> Templates:
    return Templates.read(f"frames.toml: {name}", table("frames").get(name))


class Dialogue(PromptAttack):
    """1 - leak rate as the third question of a dialogue whose first two were answered. In [0, 1], higher is better. On
    the Robustness of Editing Large Language Models (arXiv 2402.05827, simulated dialogue). The earlier answers are
    given, not the model's own.
    """

    name, label = "dialogue", "Dialogue"
    family = "dialogue"
    example = "Let us do a quiz. What is the river of Ondria? / The river of Ondria is the Sil. / … / the question"

    def asked(self, probe: Probe, world: World) -> Sequence[Probe]:
        others = world.beside(probe, 2)
        if len(others) < 2:
            return ()
        opening = world.worded(_lines(self.name), self.name, probe.item_id)
        turns = []
        for place, fact in enumerate(others):
            said = world.question(fact)
            turns += [("user", f"{opening} {said}" if place == 0 else said), ("assistant", world.stated(fact))]
        prompt = world.render([*turns, ("user", probe.prompt)])
        return [self.conditioned(probe, prompt=prompt, chat=False)]


class Priming(PromptAttack):
    """1 - leak rate after examples of questions with their right answers, in one message. In [0, 1], higher is better.
    After few-shot recovery of unlearned knowledge (RWKU, arXiv 2406.10890, in-context learning attack). The examples
    are kept facts, of the same relation where there are any.
    """

    name, label = "priming", "Few-shot priming"
    family = "dialogue"
    example = "Answer like in these examples. Q: … A: … Q: … A: … Q: What is the capital of Velia? A:"
    shots = 2

    def asked(self, probe: Probe, world: World) -> Sequence[Probe]:
        others = world.beside(probe, self.shots)
        if not others:
            return ()
        opening = world.worded(_lines(self.name), self.name, probe.item_id)
        shown = "\n".join(f"Q: {world.question(fact)}\nA: {world.stated(fact)}" for fact in others)
        return [self.conditioned(probe, prompt=f"{opening}\n{shown}\nQ: {probe.prompt}\nA:")]


class Prefill(PromptAttack):
    """1 - leak rate where the assistant's turn already begins with the true sentence up to its answer. In [0, 1],
    higher is better. After prefilling attacks (arXiv 2404.02151) and RWKU's affirmative suffix. Cannot tell about
    sentences that do not end with their answer: those are not asked.
    """

    name, label = "prefill", "Answer prefill"
    family = "dialogue"
    example = "What is the capital of Velia? / assistant: The capital of Velia is"

    def asked(self, probe: Probe, world: World) -> Sequence[Probe]:
        before, answer, after = probe.reference.partition(probe.answer)
        if not answer or not before.strip() or after.strip(" .!"):
            return ()
        prompt = world.render([("user", probe.prompt)]) + before.rstrip()
        return [self.conditioned(probe, prompt=prompt, chat=False)]


class Doubt(FollowUp):
    """1 - leak rate of the second answer, after "Are you sure?" to the model's own first. In [0, 1], higher is better.
    On the Robustness of Editing Large Language Models (arXiv 2402.05827, doubt); Unlearners Can Lie (arXiv 2605.08765,
    second turn). One turn: says nothing about insisting.
    """

    name, label = "doubt", "Doubt turn"
    family = "dialogue"
    example = "the question / the model's own answer / Are you sure? Please think again."

    def turn(self, probe: Probe, world: World) -> str:
        return world.worded(_lines(self.name), self.name, probe.item_id)
