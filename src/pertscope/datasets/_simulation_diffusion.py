"""Activities that spread over a graph of genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from pertscope._core.messages import listed
from pertscope.datasets._relationships import ENTITIES

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from pertscope.datasets._simulation_settings import Settings

LEAST_SPREAD = 1e-6
"""Below this share of what genes do alone, what is left of their differences is rounding."""


def transitions(graph: pd.DataFrame, n_genes: int) -> sp.csr_array:
    """``D^(-1) A``: each gene's weights of its neighbours, zero for genes without any.

    Raises
    ------
    ValueError
        If the graph names genes that the screen does not have.
    """
    position = {f"g{i}": i for i in range(n_genes)}
    names = graph[list(ENTITIES)].to_numpy().astype(str)
    strange = sorted(set(names.ravel()) - position.keys())
    if strange:
        raise ValueError(
            f"`graph` names {listed(strange)}: the genes of a simulated screen are 'g0' to "
            f"'g{n_genes - 1}'."
        )
    one, other = np.array([[position[name] for name in pair] for pair in names]).reshape(-1, 2).T
    half = sp.coo_array((np.ones(len(one)), (one, other)), shape=(n_genes, n_genes))
    adjacency = sp.csr_array(half + half.T)
    degree = np.asarray(adjacency.sum(axis=1)).ravel()
    return sp.csr_array(sp.diags_array(1 / np.maximum(degree, 1)) @ adjacency)


def diffused_activities(
    rng: np.random.Generator, settings: Settings, graph: pd.DataFrame
) -> npt.NDArray[np.float64]:
    """Activities of programmes when a gene is perturbed, for all genes, ``(g, k)``.

    What each gene would do alone is drawn, and spreads along the edges for a time t: ``exp(-t (I -
    D^(-1) A))`` times it. Differences between genes are then scaled to `effect_size`. Programme 0
    answers alike to all; genes without an edge keep what they do alone.

    Raises
    ------
    ValueError
        If after that time all genes do the same.
    """
    from scipy.sparse.linalg import expm_multiply

    walk = transitions(graph, settings.n_genes)
    linked = np.diff(walk.indptr) > 0
    alone = rng.normal(size=(settings.n_genes, settings.n_programs))
    decay = sp.csr_array(walk - sp.diags_array(linked.astype(np.float64)))
    spread = expm_multiply(settings.diffusion_time * decay, alone)[linked]
    if linked.any():
        sd = spread.std(axis=0)
        if (sd < LEAST_SPREAD).any():
            raise ValueError(
                f"after `diffusion_time`={settings.diffusion_time} all genes of the graph do the "
                "same: take a shorter one."
            )
        alone[linked] = (spread - spread.mean(axis=0)) / sd
    activities = settings.effect_size * alone
    activities[:, 0] = settings.effect_size * settings.shared_effect
    return activities
