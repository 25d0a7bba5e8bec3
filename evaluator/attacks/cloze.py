"""Cloze: the reference sentence up to its answer, as plain text without the chat template, for the model to go on."""

from __future__ import annotations

from evaluator.attacks.base import PromptAttack
from evaluator.probes import Probe


class Cloze(PromptAttack):
    """1 - leak rate where the reference sentence stands up to its answer as plain text, outside any dialogue, and the
    model goes on; verbatim forget questions whose sentence the base completes. In [0, 1], higher is better. A refusal
    that was learnt for questions does not answer here (RWKU, arXiv 2406.10890, fill-in-the-blank probes). Cannot tell
    about sentences that do not end with their answer: those are not asked.
    """

    name = "cloze"
    label = "Cloze"

    def asked(self, probe: Probe) -> Probe | None:
        before, answer, after = probe.reference.partition(probe.answer)
        opening = before.rstrip()
        if probe.kind != "verbatim" or not answer or not opening or after.strip(" .!"):
            return None
        # What comes before the answer is the same in the wrong references: they differ in the answer alone.
        rests = [text[len(opening) :] for text in (probe.reference, *probe.alternatives) if text.startswith(opening)]
        return self.conditioned(probe, chat=False, prompt=opening, reference=rests[0], alternatives=tuple(rests[1:]))
