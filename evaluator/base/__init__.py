"""The base model: any causal language model as a plain directory, named by the hash of its files."""

from evaluator.base.directory import BaseModelDirectory, base_hash, base_load
from evaluator.base.prepare import BASES, base_prepare

__all__ = ["BASES", "BaseModelDirectory", "base_hash", "base_load", "base_prepare"]
