"""Attacks: other ways to the forgotten answer. One file an attack: it is found by its place here, and is a column."""

from evaluator.attacks.base import Attack, ModelAttack, PromptAttack
from evaluator.attacks.registry import attack_get, attacks

__all__ = ["Attack", "ModelAttack", "PromptAttack", "attack_get", "attacks"]
