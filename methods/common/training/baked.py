"""Training that depends on no request: done once, shipped in the image, bound to its base by the base's hash.

`python -m methods bake` leaves `METHOD-HASH.safetensors`. Where a run finds that file for its very base, it takes it;
on any other base, or without such a file, it trains by itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from methods.common.contract.task import Settings, Task, progress
from methods.common.contract.tensor_file import about_load, tensors_load, tensors_save

#: Beside the package: in the image that is a layer of its own.
FOLDER = Path(__file__).resolve().parents[2] / "baked"


@dataclass(frozen=True)
class Baking:
    """How an entry trains apart from any request.

    `state` is the file of its state that holds it; `shape` names the settings in which a baked training and a manifest
    have to agree. `longer` replaces settings when an image is made, `full` those of the paper's own recipe.
    """

    method: str
    state: str
    shape: tuple[str, ...]
    longer: Mapping[str, Any]
    full: Mapping[str, Any]

    def settings(self, own: Settings, *, full: bool) -> Settings:
        """The entry's own settings but for those that a baked training has otherwise."""
        return dataclasses.replace(own, **(self.full if full else self.longer))  # type: ignore[type-var]


@dataclass(frozen=True)
class Trained:
    """Tensors by name, and what the result says about where they come from."""

    tensors: dict[str, Tensor]
    notes: dict[str, Any]


def trained_once(task: Task, baking: Baking, settings: Any, train: Callable[[], dict[str, Tensor]]) -> Trained:
    """What an entry trains without the requests: of the step before, else of the image, else by `train` here."""
    if task.previous_dir is not None:
        return Trained(tensors_load(task.previous_dir / "state", baking.state), {"training": "previous step"})
    found = _baked(task.job.base_sha256, baking, settings)
    return found or Trained(train(), {"training": "in this run"})


def bake(task: Task, baking: Baking, settings: Any, train: Callable[[], dict[str, Tensor]]) -> None:
    """Train and write the file that `trained_once` finds."""
    about = {
        "method": baking.method,
        "base_sha256": task.job.base_sha256,
        "settings": dataclasses.asdict(settings),
        "examples": len(task.align()),
        "seed": task.job.seed,
    }
    tensors_save(task.output_dir, _stem(task.job.base_sha256, baking), train(), about=about)


def _stem(base_sha256: str, baking: Baking) -> str:
    return f"{baking.method}-{base_sha256[:16]}"


def _baked(base_sha256: str, baking: Baking, settings: Any) -> Trained | None:
    path = FOLDER / f"{_stem(base_sha256, baking)}.safetensors"
    if not path.is_file():
        return None
    about = about_load(path)
    made = about.get("settings", {})
    wanted = {name: getattr(settings, name) for name in baking.shape}
    if about.get("base_sha256") != base_sha256 or any(made.get(name) != value for name, value in wanted.items()):
        progress(0.0, f"the baked training is of another base or has not {wanted}: trained here")
        return None
    notes = {"training": "in the image", "training_settings": made, "training_examples": about.get("examples")}
    return Trained(tensors_load(FOLDER, path.stem), notes)
