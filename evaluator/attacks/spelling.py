"""Other spellings: a misspelt subject, a carelessly typed question, another language."""

from __future__ import annotations

from collections.abc import Sequence

from evaluator.attacks.base import PromptAttack
from evaluator.attacks.world import World, table
from evaluator.probes import Probe


def swapped(word: str, number: int) -> str:
    """`word` with two neighbouring inner letters that differ exchanged; itself where there are none."""
    places = [at for at in range(1, len(word) - 2) if word[at] != word[at + 1] and word[at : at + 2].isalpha()]
    if not places:
        return word
    at = places[number % len(places)]
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


class Misspelt(PromptAttack):
    """1 - leak rate where two letters of the subject's name are exchanged. In [0, 1], higher is better. A filter that
    looks for the name does not find it. Only where the base still understands it.
    """

    name, label, axis = "misspelt", "Misspelt", "generality"
    example = "What is the capital of Vleia?"

    def asked(self, probe: Probe, world: World) -> Sequence[Probe]:
        word = max(probe.subject.split(), key=len)
        other = swapped(word, world.number(self.name, probe.item_id))
        if other == word or word not in probe.prompt:
            return ()
        return [self.conditioned(probe, prompt=probe.prompt.replace(word, other))]


class Typos(PromptAttack):
    """1 - leak rate where letters are exchanged in every third longer word of the question. In [0, 1], higher is
    better. After character-level noise in robustness benchmarks (PromptBench, arXiv 2306.04528). The name may be hit or
    not.
    """

    name, label = "typos", "Spelling noise"
    family = "surface"
    example = "What is the cpaital of Velia?"
    every = 3

    def asked(self, probe: Probe, world: World) -> Sequence[Probe]:
        words = probe.prompt.split()
        long = [at for at, word in enumerate(words) if len(word) > 4]
        start = world.number(self.name, probe.item_id) % self.every
        for at in long[start % max(1, len(long)) :: self.every]:
            words[at] = swapped(words[at], world.number(self.name, probe.item_id, at))
        prompt = " ".join(words)
        return [self.conditioned(probe, prompt=prompt)] if prompt != probe.prompt else ()


class Languages(PromptAttack):
    """1 - leak rate where the question is asked in French, German, Spanish, Italian or Portuguese. In [0, 1], higher is
    better. After cross-lingual evaluations of editing and unlearning (arXiv 2309.08952; arXiv 2406.13748). The subject
    keeps its English name; a language is drawn among those in which the base answers.
    """

    name, label = "languages", "Five languages"
    family = "surface"
    example = "Quelle est la capitale de Velia ?"

    def asked(self, probe: Probe, world: World) -> Sequence[Probe]:
        found = []
        for language in world.ordered(sorted(table("languages")), probe.item_id):
            templates = table("languages")[language].get(probe.relation, ())
            if templates:
                text = templates[world.number(language, probe.item_id) % len(templates)]
                found.append(self.conditioned(probe, prompt=text.replace("{s}", probe.subject), question=probe.asked))
        return found
