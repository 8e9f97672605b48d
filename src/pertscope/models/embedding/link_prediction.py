"""Train a graph network to tell edges from pairs without one."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.sparse as sp
import torch
from torch.nn import functional as F

from pertscope.models.epochs import device_of, train_epochs
from pertscope.models.isolation import own_random_state
from pertscope.nn.graph_encoder import KINDS, GraphEncoder

VAL_SHARE = 0.1
EDGES_PER_EPOCH = 65_536
"""An epoch is one step, on so many edges at most."""
MAX_DRAWS = 100


def embed_by_link_prediction(
    adjacency: sp.csr_array,
    *,
    n_dims: int,
    kind: str,
    n_layers: int,
    dropout: float,
    lr: float,
    max_epochs: int,
    patience: int,
    seed: int,
    accelerator: str,
) -> np.ndarray:
    """Embedding of the nodes by a network with the lowest loss on a tenth of the edges.

    The loss is the cross-entropy of edges and of as many pairs without one. Validation edges are
    not in the graph that messages pass along in training; afterwards they are.

    Parameters
    ----------
    adjacency
        Weights, symmetric without a diagonal, ``(nodes, nodes)``.
    n_dims, kind, n_layers, dropout
        See :class:`pertscope.nn.graph_encoder.GraphEncoder`.
    lr
        Learning rate of Adam.
    max_epochs, patience
        See :func:`pertscope.models.epochs.train_epochs`.
    seed
        Seed of all that is drawn.
    accelerator
        ``"auto"``, ``"cpu"`` or ``"gpu"``.

    Returns
    -------
    float32 ``(nodes, n_dims)``.

    Raises
    ------
    ValueError
        If the kind is not known, there are fewer than two edges, nearly all pairs are edges, or
        training diverges.
    """
    if kind not in KINDS:
        raise ValueError(f"`kind`={kind!r} must be one of {list(KINDS)}.")
    rng, device = np.random.default_rng(seed), device_of(accelerator)
    edges = np.column_stack(sp.triu(adjacency).nonzero())
    if len(edges) < 2:
        raise ValueError("link prediction needs two edges or more, one of them to validate.")
    edges = rng.permutation(edges)
    n_val = max(1, round(VAL_SHARE * len(edges)))
    val, train = edges[:n_val], edges[n_val:]
    n = adjacency.shape[0]
    known = np.sort(_packed(edges, n))

    def batch(positive: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        negative = _non_edges(n, known, len(positive), rng)
        return torch.as_tensor(positive, device=device), torch.as_tensor(negative, device=device)

    matrix = _matrix(_part(adjacency, train), kind, device)
    with own_random_state(seed):
        module = GraphEncoder(n, n_dims, kind=kind, n_layers=n_layers, dropout=dropout).to(device)
        optimizer = torch.optim.Adam(module.parameters(), lr=lr)
        validation = batch(val)

        def loss(positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
            x = module(matrix)
            near, far = module.logits(x, positive), module.logits(x, negative)
            return (F.softplus(-near).mean() + F.softplus(far).mean()) / 2

        def epoch() -> None:
            chosen = rng.permutation(len(train))[:EDGES_PER_EPOCH]
            optimizer.zero_grad()
            loss(*batch(train[chosen])).backward()
            optimizer.step()

        def validate() -> float:
            return loss(*validation).item()

        train_epochs(module, epoch, validate, max_epochs=max_epochs, patience=patience)
        with torch.no_grad():
            found: np.ndarray = module(_matrix(adjacency, kind, device)).cpu().numpy()
    return found


def _packed(pairs: np.ndarray, n: int) -> np.ndarray:
    """One number for each pair i < j."""
    return pairs[:, 0].astype(np.int64) * n + pairs[:, 1]


def _part(adjacency: sp.csr_array, edges: np.ndarray) -> sp.csr_array:
    """The graph of some of the edges."""
    i, j = edges.T
    half = sp.coo_array((np.asarray(adjacency[i, j]).ravel(), (i, j)), shape=adjacency.shape)
    return sp.csr_array(half + half.T)


def _non_edges(n: int, known: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Pairs i < j that are no edges, each as likely, int64 ``(size, 2)``: fewer if there are few.

    Raises
    ------
    ValueError
        If none is found.
    """
    found = np.empty((0, 2), np.int64)
    for _ in range(MAX_DRAWS):
        pairs = np.sort(rng.integers(n, size=(2 * size, 2)), axis=1)
        packed = _packed(pairs, n)
        place = np.searchsorted(known, packed).clip(max=len(known) - 1)
        free = (pairs[:, 0] < pairs[:, 1]) & (known[place] != packed)
        found = np.concatenate([found, pairs[free]])[:size]
        if len(found) == size:
            break
    if len(found) == 0:
        raise ValueError("nearly every pair is an edge: there is no link to predict.")
    return found


def _matrix(adjacency: sp.csr_array, kind: str, device: torch.device) -> torch.Tensor:
    """The matrix of :class:`pertscope.nn.graph_encoder.GraphEncoder`, sparse float32."""
    if kind == "gin":
        matrix = adjacency / adjacency.max()
    else:
        a = adjacency + sp.eye_array(adjacency.shape[0]) if kind == "gcn" else -adjacency
        degree = np.abs(np.asarray(a.sum(axis=1)).ravel())
        # nodes whose only edges are validated have none here
        scale = sp.diags_array(1 / np.sqrt(np.where(degree > 0, degree, 1)))
        matrix = scale @ a @ scale
    matrix = sp.csr_array(matrix, dtype=np.float32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            torch.as_tensor(matrix.indptr.astype(np.int64)),
            torch.as_tensor(matrix.indices.astype(np.int64)),
            torch.as_tensor(matrix.data),
            matrix.shape,
            check_invariants=True,
        ).to(device)
