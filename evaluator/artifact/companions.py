"""Files and names that the field's tools leave beside the tensors: what is dropped, and what mends the rest."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from evaluator.artifact.base_tensors import BaseTensors
from evaluator.artifact.walk import Found
from evaluator.contract.lora import HEAD, PREFIX
from evaluator.contract.result import ArtifactKind

logger = logging.getLogger(__name__)

#: What `save_pretrained` writes beside tensors, by kind. All of it says again what the base or the adapter says.
_COMPANIONS: dict[ArtifactKind, re.Pattern[str]] = {
    "weights": re.compile(r"model/(config\.json|generation_config\.json|model\.safetensors\.index\.json)"),
    "adapter": re.compile(r"adapter/README\.md"),
}


def dropped(kind: ArtifactKind, files: Sequence[Found]) -> list[Found]:
    """The files without the known companions, which are never opened. The log says which they were."""
    known = _COMPANIONS.get(kind)
    gone = [item.path for item in files if known is not None and known.fullmatch(item.path)]
    if gone:
        logger.warning("dropped at sealing and never read: %s", ", ".join(gone))
    return [item for item in files if item.path not in gone]


def remedy(names: Sequence[str]) -> str:
    """What mends a refusal for these files, as a clause; empty where nothing is known."""
    pickles = [name for name in names if name.endswith((".bin", ".pt", ".pth"))]
    if not pickles:
        return ""
    stem, _, end = pickles[0].rpartition(".")
    if any(name.endswith(".safetensors") for name in names):
        return f"; pickles are never loaded: `os.remove(OUT / {pickles[0]!r})`"
    read = f'torch.load(OUT / "{pickles[0]}", weights_only=True)'
    whole = f"{{n: t.clone() for n, t in {read}.items()}}"
    line = f'safetensors.torch.save_file({whole}, OUT / "{stem}.safetensors")'
    return f"; pickles are never loaded: `{line}`, then remove the .{end}"


def rename(name: str, base: BaseTensors) -> str:
    """What mends a tensor that the base does not have, as a clause; empty where nothing is known."""
    if name == f"{HEAD}.weight" and base.tied:
        return f'; the base ties it to {base.tied}, which is stored once: `tensors.pop("{HEAD}.weight")`'
    if ".lora_" in name or ".base_layer." in name or ".modules_to_save." in name:
        return "; it is one of an adapter that is not merged: `model = model.merge_and_unload()` before saving"
    if name.startswith(PREFIX):
        return f'; it has the prefix of PEFT: `tensors = {{n.removeprefix("{PREFIX}"): t for n, t in tensors.items()}}`'
    return ""
