"""Attacks: other ways to the forgotten answer. A class in a module here is an attack: it is found, and is a column."""

from evaluator.attacks.base import Attack, Axis, FollowUp, ModelAttack, PromptAttack, SampledAttack
from evaluator.attacks.registry import attack_get, attacks
from evaluator.attacks.templates import Templates
from evaluator.attacks.world import World

__all__ = [
    "Attack",
    "Axis",
    "FollowUp",
    "ModelAttack",
    "PromptAttack",
    "SampledAttack",
    "Templates",
    "World",
    "attack_get",
    "attacks",
]
