"""GLAME's relational graph network, as something whose parameters the search for v* moves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Graph:
    """Names of nodes and relations, edges (head, relation, tail) by number, and the nodes that are asked about."""

    nodes: tuple[str, ...]
    relations: tuple[str, ...]
    edges: tuple[tuple[int, int, int], ...]
    subjects: tuple[int, ...]


class GraphChange:
    """Two layers of h_i' = sigma(W_1 mean over (i, r, j) of (h_j + r) + W_0 h_i); comes to g_s, (width,).

    Node features are (nodes, features), relation features (relations, features). Relations enter by
    what their names mean to the model: a matrix for each, as in R-GCN, could not be fitted to a
    handful of triples. The last layer is linear and starts at zero, so that v* starts at v.
    """

    def __init__(self, graph: Graph, nodes: Tensor, relations: Tensor, width: int) -> None:
        self._nodes, self._relations = nodes, relations
        heads = torch.tensor([head for head, _, _ in graph.edges], device=nodes.device)
        self._edge_relations = torch.tensor([relation for _, relation, _ in graph.edges], device=nodes.device)
        self._tails = torch.tensor([tail for _, _, tail in graph.edges], device=nodes.device)
        # Mean over a node's edges as a product, (nodes, edges): its sum has the same order on every device.
        incidence = nn.functional.one_hot(heads, len(nodes)).T.to(nodes)
        self._mean = incidence / incidence.sum(1, keepdim=True).clamp(min=1)
        self._subjects = list(graph.subjects)
        size = nodes.shape[1]
        self._first = [nn.Parameter(torch.randn(size, size).to(nodes) / size**0.5) for _ in range(2)]
        self._last = [nn.Parameter(torch.zeros(width, size, device=nodes.device)) for _ in range(2)]

    def __call__(self) -> Tensor:
        hidden = self._layer(self._nodes, self._first).relu()
        g: Tensor = self._layer(hidden, self._last)[self._subjects].mean(0)
        return g

    def parameters(self) -> list[nn.Parameter]:
        return [*self._first, *self._last]

    def shrink(self, factor: float) -> None:
        for matrix in self._last:
            matrix.data.mul_(factor)

    def _layer(self, states: Tensor, matrices: list[nn.Parameter]) -> Tensor:
        W_1, W_0 = matrices
        messages = states[self._tails] + self._relations[self._edge_relations]
        return self._mean @ messages @ W_1.T + states @ W_0.T
