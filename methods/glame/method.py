"""GLAME: the value of an edit comes from a graph of what is known around its subject, then ROME writes it.

Zhang et al., "Knowledge Graph Enhanced Large Language Model Editing", EMNLP 2024 (arXiv 2402.13593). In
the paper's symbols: s is the subject, g_s what a relational graph network says at its node, and

    v* = v + g_s      with the network's parameters, not v*, fitted to the loss of ROME

A refusal has no node in a graph of facts, so the new object o* is an artificial node, "unknown".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from methods.common.contract.task import MethodResult, Request, Task, Triple, progress
from methods.common.editing.edits import EditSettings, context_at, edits_of
from methods.common.editing.rank_one import rank_one_write
from methods.common.editing.retain_keys import retain_covariances
from methods.common.editing.values import value_change
from methods.common.model.base_model import BaseModel, model_of
from methods.common.model.keys import states_at_lookup
from methods.common.model.weights import changed_weights_save
from methods.glame.network import Graph, GraphChange

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Settings(EditSettings):
    """`feature_depth` is where names are read; `v_learning_rate` is the network's. See docs/methods/glame.md."""

    v_learning_rate: float = 0.0005
    depth: float = 0.14
    feature_depth: float = 0.1
    triples_at_most: int = 20


def unlearn(task: Task, settings: Settings) -> MethodResult:
    triples = task.triples()
    base = model_of(task)
    layer = base.layer_at("hparams.depth", settings.depth)
    feature_layer = base.layer_at("hparams.feature_depth", settings.feature_depth)
    edits = edits_of(base, task.forget, settings, seed=task.job.seed)
    C = retain_covariances(base, [layer], task, settings)[layer]
    for number, edit in enumerate(edits.items):
        progress(0.25 + 0.7 * number / len(edits.items), f"edit {number + 1} of {len(edits.items)}")
        graph = graph_of(edit.requests, triples, at_most=settings.triples_at_most)
        change = graph_change(base, feature_layer, graph, width=len(base.down_weight(layer)))
        sought = value_change(base, layer, edit, settings, change=change)
        rank_one_write(base, layer, edit, sought.delta, C)
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return MethodResult(kind="weights", stores_forget_text=False, notes=edits.notes)


def graph_of(requests: Sequence[Request], triples: Mapping[str, Sequence[Triple]], *, at_most: int) -> Graph:
    """(s, r, o*) for every request, and for each of its triples (s, r, o) also (o*, r, o).

    Without triples it is the subject and "unknown" alone, and GLAME is ROME with another way to write delta.
    """
    facts: list[Triple] = []
    for request in requests:
        facts.append((_subject(request), request.relation or "answer", UNKNOWN))
        for subject, relation, object_ in triples.get(request.id, ())[:at_most]:
            facts += [(subject, relation, object_), (UNKNOWN, relation, object_)]
    subjects = [_subject(request) for request in requests]
    names = [*subjects, UNKNOWN, *(name for subject, _, object_ in facts for name in (subject, object_))]
    nodes = tuple(dict.fromkeys(names))
    relations = tuple(dict.fromkeys(relation for _, relation, _ in facts))
    edges = tuple((nodes.index(s), relations.index(r), nodes.index(o)) for s, r, o in facts)
    return Graph(nodes, relations, edges, tuple(dict.fromkeys(nodes.index(subject) for subject in subjects)))


def graph_change(base: BaseModel, feature_layer: int, graph: Graph, *, width: int) -> GraphChange:
    """The network of a graph; what it knows of a name is the state at the name's last token in a question."""
    names = [name.replace("_", " ") for name in (*graph.nodes, *graph.relations)]
    states = states_at_lookup(base, feature_layer, [context_at(base, name, name) for name in names])
    features = states / states.square().mean(-1, keepdim=True).sqrt()
    return GraphChange(graph, features[: len(graph.nodes)], features[len(graph.nodes) :], width)


def _subject(request: Request) -> str:
    return request.subject or request.prompt
