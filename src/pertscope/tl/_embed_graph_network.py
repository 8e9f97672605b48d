"""Entities by a network that learns which of them are linked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope.tl._embedding_table import check_n_dims, embedding_table
from pertscope.tl._graph import read_graph

if TYPE_CHECKING:
    import pandas as pd


def embed_graph_network(
    graph: pd.DataFrame,
    n_dims: int = 128,
    *,
    kind: str = "gcn",
    n_layers: int = 2,
    dropout: float = 0.1,
    min_weight: float = 0.0,
    lr: float = 1e-2,
    max_epochs: int = 200,
    patience: int = 30,
    seed: int = 0,
    accelerator: str = "auto",
) -> pd.DataFrame:
    """Embed a graph by a graph network that is trained by link prediction.

    Each entity has a learned vector; layers add to it what comes along the edges: ``x <- x +
    relu(layer(x))``. A layer is a graph convolution (``"gcn"``), a graph isomorphism network
    (``"gin"``), or a learned low-pass filter and three wavelets of the graph's spectrum, of order 7
    in Chebyshev polynomials (``"wavelet"``, after WaveGC). ``z_i' z_j + b`` is the log-odds of a
    link, trained by cross-entropy on 90% of the pairs and as many that are not linked, drawn anew
    each epoch. The weights with the lowest loss on the other 10% are kept.

    Parameters
    ----------
    graph
        A row per pair: columns ``entity1``, ``entity2`` and, if any, ``weight``, as
        :func:`pertscope.datasets.relationships` returns. The order within a pair does not matter;
        of a pair that comes twice the higher weight counts; pairs of an entity with itself do not.
        Messages are weighted; whether there is a link is not.
    n_dims
        Dimensions.
    kind
        ``"gcn"``, ``"gin"`` or ``"wavelet"``.
    n_layers
        Layers: how far messages go, seven times as far with ``"wavelet"``.
    dropout
        Share of the messages that are left out in training.
    min_weight
        Pairs of this weight or less are no edges.
    lr
        Learning rate of Adam.
    max_epochs
        Epochs at most; one is a step on all pairs, or on 65,536 of them.
    patience
        Epochs without a lower validation loss after which training stops.
    seed
        Seed of the weights and of all that is drawn.
    accelerator
        ``"cpu"``, ``"gpu"``, or ``"auto"``: a GPU where there is one. On the CPU the same seed and
        number of threads give the same bytes.

    Returns
    -------
    float32 ``(entities, dimensions)``, for :func:`pertscope.pp.add_perturbation_embedding`.
    Entities without an edge get no row, and a warning names them.

    Raises
    ------
    KeyError
        If a column is missing.
    ValueError
        If there are fewer than two edges or nearly all pairs are edges, a name is missing, a weight
        is negative or not finite, a setting is out of range, or training diverges.

    References
    ----------
    Kipf and Welling, ICLR (2017); Xu et al., ICLR (2019); Liu et al., A general graph spectral
    wavelet convolution via Chebyshev order decomposition (2024); Cole et al., Foundation Models
    Improve Perturbation Response Prediction (2025), section 4.5.2.

    Examples
    --------
    >>> import pertscope as ps
    >>> pairs = ps.datasets.relationships("sample")
    >>> ps.tl.embed_graph_network(pairs, 4, max_epochs=2, accelerator="cpu").shape
    (10, 4)
    """
    if n_layers < 1 or not 0 <= dropout < 1 or lr <= 0:
        raise ValueError(
            f"`n_layers`={n_layers} must be at least 1, `dropout`={dropout} in [0, 1) and "
            f"`lr`={lr} above zero."
        )
    check_n_dims(n_dims)
    network = read_graph(graph, min_weight=min_weight)
    from pertscope.models.embedding.link_prediction import embed_by_link_prediction

    vectors = embed_by_link_prediction(
        network.adjacency,
        n_dims=n_dims,
        kind=kind,
        n_layers=n_layers,
        dropout=dropout,
        lr=lr,
        max_epochs=max_epochs,
        patience=patience,
        seed=seed,
        accelerator=accelerator,
    )
    return embedding_table(network.names, vectors)
