"""What an attack is: a name that becomes the condition of a trace's rows, and what it does to prompts or to a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from evaluator.probes import Probe


class Attack(ABC):
    """One way to the forgotten answer that the plain question does not take.

    `name` is the condition of its rows and the key of its column, `label` the column's head; the docstring of the
    class is the column's help: formula, range, direction, source, and what it cannot tell.
    """

    name: ClassVar[str]
    label: ClassVar[str]
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
        return probe.model_copy(update=self.columns(probe.item_id) | {"base_values": {}} | changes)


class PromptAttack(Attack):
    """Asks for the same fact in other words; made when a release is built, and kept where the base answers."""

    @abstractmethod
    def asked(self, probe: Probe) -> Probe | None:
        """The probe as this attack asks it (see `conditioned`), or None where it has no such form."""


class ModelAttack(Attack):
    """Changes the model and asks the plain questions again; of sealed weights only."""

    @abstractmethod
    def applied(self, model: Any) -> Any:
        """`model` (a Hugging Face causal LM) after the attack; may change it in place."""
