"""Which entry a name stands for, found by looking; imported only when it is run, so that a light one stays light.

A folder that holds a manifest alone is a recipe: one of these methods with other settings.
"""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from methods.common.contract.answers import Responder
from methods.common.contract.errors import MethodError
from methods.common.contract.task import MethodResult, Task

if TYPE_CHECKING:
    from torch import Tensor

    from methods.common.model.base_model import BaseModel
    from methods.common.training.baked import Baking

#: The methods: every folder here that holds a `method.py`. One with a manifest alone is a recipe.
NAMES = tuple(sorted(path.parent.name for path in Path(__file__).parent.glob("*/method.py")))


class Entry(Protocol):
    """A method's module: its settings (the manifest's `[hparams]`) and the roles that it plays."""

    Settings: type[Any]

    def unlearn(self, task: Task, settings: Any) -> MethodResult:
        """Read the task, leave the artifact under its output directory, say what was made."""
        ...

    def respond(self, state_dir: Path, base_dir: Path, threads: int) -> Responder:
        """Only entries of kind `server`: the responder that answers the questions."""
        ...

    BAKING: Baking  # only entries that train apart from the requests; so has what follows

    def train(self, task: Task, base: BaseModel, settings: Any) -> dict[str, Tensor]:
        """What is trained apart from the requests, by name."""
        ...


def entry(name: str) -> Entry:
    """The module of the method `name`. Raises `MethodError` naming the nearest known one."""
    if name not in NAMES:
        close = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.0)[0]
        raise MethodError("--method", name, "is not a known method", f"did you mean `{close}`?")
    return cast(Entry, importlib.import_module(f"methods.{name}.method"))
