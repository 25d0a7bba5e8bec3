"""Utility: what a model can do that no release asks it to forget. The shipped questions and texts, as probes."""

from evaluator.utility.base_answers import base_utility
from evaluator.utility.items import ChoiceItem, TextItem, UtilitySet, items_load, utility_probes

__all__ = ["ChoiceItem", "TextItem", "UtilitySet", "base_utility", "items_load", "utility_probes"]
