"""The gate for what a method left behind: checked, hashed, copied, read-only; after this, output is data of ours."""

from evaluator.artifact.base_tensors import BaseTensors
from evaluator.artifact.contents import Contents, Fact, contents_search
from evaluator.artifact.seal import SealedArtifact, seal

__all__ = ["BaseTensors", "Contents", "Fact", "SealedArtifact", "contents_search", "seal"]
