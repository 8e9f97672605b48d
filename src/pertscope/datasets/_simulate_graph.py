"""Simulate a graph of genes that fall into communities."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pertscope.datasets._relationships import ENTITIES, unique_pairs


def simulate_graph(
    n_genes: int = 500,
    *,
    n_communities: int = 10,
    mean_degree: float = 10.0,
    fraction_within: float = 0.9,
    seed: int = 0,
) -> pd.DataFrame:
    r"""Draw a graph of genes in communities, such as complexes and pathways.

    Genes are dealt into communities of equal size. Each pair is an edge with probability
    :math:`w d / (n_c - 1)` within a community of :math:`n_c` genes and
    :math:`(1 - w) d / (n - n_c)` between two: a gene has :math:`d` neighbours on average, a share
    :math:`w` of them in its own community (a planted partition).

    Parameters
    ----------
    n_genes
        Genes, called ``g0``, ``g1``, ..., as :func:`pertscope.datasets.simulate_screen` calls them.
    n_communities
        Communities; one is a random graph.
    mean_degree
        Mean number of neighbours :math:`d`. With few of them, some genes have none and no row.
    fraction_within
        Share :math:`w` of the neighbours that are of the same community.
    seed
        The same seed gives the same bytes.

    Returns
    -------
    DataFrame with a row per pair: ``entity1``, ``entity2``, as
    :func:`pertscope.datasets.relationships` returns; for ``simulate_screen(graph=...)``, and for
    :func:`pertscope.tl.embed_spectral` and its like.

    Raises
    ------
    TypeError
        If a number of genes or communities is no whole one.
    ValueError
        If an argument is out of range, or there are too few genes for so many edges.

    References
    ----------
    Condon and Karp, Random Structures and Algorithms 18 (2001).

    Examples
    --------
    >>> import pertscope as ps
    >>> graph = ps.datasets.simulate_graph(100, n_communities=5, seed=0)
    >>> graph.columns.tolist()
    ['entity1', 'entity2']
    >>> screen = ps.datasets.simulate_screen(n_genes=100, graph=graph)
    """
    for name, value in (("n_genes", n_genes), ("n_communities", n_communities)):
        if not isinstance(value, int | np.integer):
            raise TypeError(f"`{name}`={value!r} must be a whole number.")
    if not 1 <= n_communities <= n_genes // 2:
        raise ValueError(
            f"`n_communities`={n_communities} must be at least 1 and at most half of the "
            f"{n_genes} genes."
        )
    if not mean_degree > 0 or not 0 <= fraction_within <= 1:
        raise ValueError(
            f"`mean_degree`={mean_degree} must be above 0, and `fraction_within`="
            f"{fraction_within} between 0 and 1."
        )
    rng = np.random.default_rng(seed)
    community = rng.permutation(n_genes) % n_communities
    size = n_genes / n_communities
    within = fraction_within if n_communities > 1 else 1.0
    inside = within * mean_degree / (size - 1)
    between = (1 - within) * mean_degree / (n_genes - size) if n_communities > 1 else 0.0
    if max(inside, between) > 1:
        raise ValueError(
            f"`mean_degree`={mean_degree} is more than communities of {size:g} genes have room "
            "for: take fewer communities, a smaller degree or a smaller `fraction_within`."
        )
    one, other = np.triu_indices(n_genes, k=1)
    chance = np.where(community[one] == community[other], inside, between)
    drawn = rng.random(len(one)) < chance
    ends = (one[drawn], other[drawn])
    named = {c: [f"g{i}" for i in end] for c, end in zip(ENTITIES, ends, strict=True)}
    return unique_pairs(pd.DataFrame(named, columns=list(ENTITIES)), "the graph")
