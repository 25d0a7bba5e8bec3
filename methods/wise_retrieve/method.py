"""WISE-Retrieve: several side memories, and each question goes through the one that responds most to it.

Wang et al., "WISE: Rethinking the Knowledge Memory for Lifelong Model Editing of Large Language Models",
NeurIPS 2024. With W_v the down projection and W_v'_1 ... W_v'_k the shards that edits were written into,

    a question x goes through  W_v'_j,  j = argmax act_j(x),  if act_j(x) > act_ratio min over edits of act_j
                               W_v  otherwise

The memory, its masks and its margins are in methods/common/editing/side_memory.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from methods.common.contract.answers import Responder
from methods.common.contract.task import MethodResult, Task
from methods.common.editing.side_memory import SideSettings, shards_load, shards_save, shards_written, side_router
from methods.common.serving.responders import RoutingResponder
from methods.common.serving.server_state import served_base, state_read, state_write


@dataclass(frozen=True)
class Settings(SideSettings):
    """Those of the side memory; see docs/methods/wise.md."""


def unlearn(task: Task, settings: Settings) -> MethodResult:
    _, layer, shards = shards_written(task, settings)
    shards_save(task.state_dir, shards)
    return state_write(task, requests=False, reported=shards.notes, layer=layer, act_ratio=settings.act_ratio)


def respond(state_dir: Path, base_dir: Path, threads: int) -> Responder:
    state = state_read(state_dir)
    base = served_base(state, base_dir, threads)
    return RoutingResponder(base, side_router(base, state["layer"], shards_load(state_dir), state["act_ratio"]))
