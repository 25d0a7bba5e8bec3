"""What an attack is: a name that becomes the condition of a trace's rows, and what it does to prompts or to a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from evaluator.answers.names import names_answer
from evaluator.attacks.world import World
from evaluator.probes import Probe

#: What a column of an attack counts for: `generality` the same knowledge asked for otherwise, `robustness` the same
#: question under pressure, `recognition` the answer among others, where who guesses is sometimes right.
Axis = Literal["generality", "robustness", "recognition"]
#: Attacks of robustness that are alike: each family is measured on enough probes for a mean of its own.
Family = Literal["instruction", "context", "dialogue", "surface", "model"]


class Attack(ABC):
    """One way to the forgotten answer that the plain question does not take.

    `name` is the condition of its rows and the key of its column, `label` the column's head; the docstring of the
    class is the column's help: formula, range, direction, source, and what it cannot tell. `example`: one prompt.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    example: ClassVar[str]
    axis: ClassVar[Axis] = "robustness"
    family: ClassVar[Family | None] = None
    version: ClassVar[int] = 1

    def columns(self, item_id: str) -> dict[str, Any]:
        """What tells a probe, or its row, under this attack from the plain one. What the base does is not known yet."""
        return {
            "item_id": f"{item_id}@{self.name}",
            "condition": self.name,
            "base_response": "",
            "base_correct": False,
        }

    def conditioned(self, probe: Probe, **changes: Any) -> Probe:
        """`probe` under this attack: with the changed fields, and with a name of its own beside the plain one."""
        plain = {"base_values": {}, "unknown_values": {}, "alternatives": (), "question": probe.asked}
        return probe.model_copy(update=plain | self.columns(probe.item_id) | changes)

    def told(self, probe: Probe, response: str) -> bool:
        """Whether a response gives the answer."""
        return names_answer(response, probe.aliases, probe.prompt)


class PromptAttack(Attack):
    """Asks for the same fact otherwise; made when a release is built, and kept where the base gives the answer."""

    @abstractmethod
    def asked(self, probe: Probe, world: World) -> Sequence[Probe]:
        """The probe as this attack may ask it (see `conditioned`), the first choice first; none where it has no such
        form. The first that the base answers is taken.
        """

    def beside(self, probe: Probe, world: World) -> Sequence[Probe]:
        """Other probes that come with the one that was taken."""
        return ()


class FollowUp(Attack):
    """A second turn after the model's own answer to the plain question."""

    @abstractmethod
    def turn(self, probe: Probe, world: World) -> str:
        """What is said after the answer."""

    def following(self, probe: Probe, world: World) -> Probe:
        """The probe of the second turn."""
        return self.conditioned(probe, prompt=self.turn(probe, world), follows=probe.item_id)


class ModelAttack(Attack):
    """Changes the model and asks the plain questions again; of sealed weights only."""

    @abstractmethod
    def applied(self, model: Any) -> Any:
        """`model` (a Hugging Face causal LM) after the attack; may change it in place."""


class SampledAttack(Attack):
    """Draws answers to the plain questions instead of taking the most probable one; of sealed weights only."""

    samples: ClassVar[int]
    temperature: ClassVar[float]
