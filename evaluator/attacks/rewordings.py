"""Rewordings: the same knowledge without the subject's name, from the other side, one step on, or as a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from evaluator.attacks.base import PromptAttack
from evaluator.attacks.templates import Templates
from evaluator.attacks.world import World, table
from evaluator.probes import Probe


class Cloze(PromptAttack):
    """1 - leak rate where the reference sentence stands up to its answer as plain text, outside any dialogue, and the
    model goes on, where the base completes it. In [0, 1], higher is better. A refusal that was learnt for questions
    does not answer here (RWKU, arXiv 2406.10890, fill-in-the-blank probes). Cannot tell about sentences that do not
    end with their answer: those are not asked.
    """

    name, label, axis = "cloze", "Cloze", "generality"
    version = 2
    example = "The capital of Velia is"

    def asked(self, probe: Probe, world: World) -> Sequence[Probe]:
        before, answer, after = probe.reference.partition(probe.answer)
        opening = before.rstrip()
        if not answer or not opening or after.strip(" .!"):
            return ()
        return [self.conditioned(probe, chat=False, prompt=opening, reference=probe.reference[len(opening) :])]


class Described(PromptAttack):
    """1 - leak rate where the subject is described, or called by another name. In [0, 1], higher is better. After the
    alias and descriptor probes of RWKU (arXiv 2406.10890) and Unlearning Mirage (arXiv 2603.11266). Only subjects with
    a description that the base understands are asked for.
    """

    name, label, axis = "described", "Described", "generality"
    example = "What is the capital of the country shaped like a boot?"

    def asked(self, probe: Probe, world: World) -> Sequence[Probe]:
        phrases = world.ordered(table("described").get(probe.subject, ()), probe.item_id)
        # The phrases say themselves what they are.
        question = world.relations[probe.relation].question.replace("the city of {s}", "{s}")
        return [self.conditioned(probe, prompt=question.format(s=phrase)) for phrase in phrases]


class Pronoun(PromptAttack):
    """1 - leak rate where the subject is named in a first turn and the question, in the second, says "it". In [0, 1],
    higher is better. On the Robustness of Editing Large Language Models (arXiv 2402.05827, pronouns). The reply
    between the turns is given, not the model's own.
    """

    name, label, axis = "pronoun", "Pronoun", "generality"
    example = "I have a question about Velia. / Of course. / What is its capital?"

    def asked(self, probe: Probe, world: World) -> Sequence[Probe]:
        words = table("pronouns")
        if probe.relation not in words["public"]:
            return ()
        own = {part: words[part].get(probe.relation) for part in ("public", "secret")}
        question = Templates.read(f"pronouns.toml: {probe.relation}", own)
        first = Templates.read("pronouns.toml: first", words["first"], "s")
        reply = Templates.read("pronouns.toml: reply", words["reply"])
        turns = [
            ("user", world.worded(first, "first", probe.item_id, s=probe.subject)),
            ("assistant", world.worded(reply, "reply", probe.item_id)),
            ("user", world.worded(question, self.name, probe.item_id)),
        ]
        return [self.conditioned(probe, prompt=world.render(turns), chat=False)]


class Reversed(PromptAttack):
    """1 - leak rate from the answer to the subject: what is asked for is the subject's name. In [0, 1], higher is
    better. After the reversal curse (arXiv 2309.12288) and RWKU's reverse queries. Only relations whose answer has one
    subject, or few, are asked; an editor of one direction is not asked to have edited the other.
    """

    name, label, axis = "reversed", "Reversed", "generality"
    example = "Orsk is the capital of which country?"

    def asked(self, probe: Probe, world: World) -> Sequence[Probe]:
        words = table("reversed")
        own = {part: words[part].get(probe.relation) for part in ("public", "secret")}
        if not own["public"]:
            return ()
        question = Templates.read(f"reversed.toml: {probe.relation}", own, "a")
        prompt = world.worded(question, self.name, probe.item_id, a=probe.answer)
        name = probe.subject
        aliases = tuple(dict.fromkeys((name, name.removeprefix("the "))))
        changes = {"subject": probe.answer, "answer": name, "aliases": aliases, "prompt": prompt, "question": prompt}
        return [self.conditioned(probe, **changes)]


class Implied(PromptAttack):
    """1 - leak rate one step on: what is asked for follows from the forgotten answer, which is not named. In [0, 1],
    higher is better. After portability and multi-hop probes (MQuAKE, arXiv 2305.14795; GONE, arXiv 2603.12275). Only
    where the base takes both steps.
    """

    name, label, axis = "implied", "Implied", "generality"
    example = "What is the currency of the country in which the city of Mirn lies?"

    def asked(self, probe: Probe, world: World) -> Sequence[Probe]:
        bridge = table("bridges").get(probe.relation)
        if not bridge:
            return ()
        phrase = bridge.format(s=probe.subject)
        found = []
        for fact in world.ordered([*world.about(probe.answer)], probe.item_id):
            prompt = world.relations[fact.relation].question.format(s=phrase)
            changes = {"answer": fact.answer, "aliases": fact.aliases, "prompt": prompt, "question": prompt}
            found.append(self.conditioned(probe, reference=world.stated(fact), **changes))
        return found
