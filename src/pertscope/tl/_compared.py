"""What is compared: embeddings and bounds, and what their predictions are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope._core.keys import check_key
from pertscope._core.messages import listed
from pertscope._core.perturbation_embedding import read_embedding
from pertscope._core.unseen import BOUNDS, PLAIN_BOUNDS, is_bound
from pertscope.tl._fold_learners import JOINED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def compared(
    adata: AnnData,
    embeddings: str | Sequence[str | Sequence[str]],
    bounds: str | Sequence[str],
    prefixes: tuple[str, str],
) -> dict[str, tuple[str, ...] | str]:
    """Name of each prediction -> its embeddings, or its bound.

    `prefixes` are what the names of embeddings begin with, and those of fitted bounds.

    Raises
    ------
    KeyError
        If there is no such embedding.
    ValueError
        If there is no such bound, nothing to compare, two predictions of one name, embeddings that
        are joined to none or to themselves, or a name that reads as a bound.
    """
    prefix, of_bounds = prefixes
    each = [embeddings] if isinstance(embeddings, str) else embeddings
    sources = [(e,) if isinstance(e, str) else tuple(e) for e in each]
    bounds = [bounds] if isinstance(bounds, str) else list(bounds)
    for bound in bounds:
        if bound not in BOUNDS:
            raise ValueError(f"`bounds`: {bound!r} must be one of {BOUNDS}.")
    for source in sources:
        if not source or len(set(source)) < len(source):
            raise ValueError(f"`embeddings`: {list(source)} must name embeddings, each once.")
    for name in {name for source in sources for name in source}:
        read_embedding(adata, name)  # refuses what is not there
    own = [f"{prefix}_{JOINED.join(source)}" for source in sources]
    keys = [*own, *(b if b in PLAIN_BOUNDS else f"{of_bounds}_{b}" for b in bounds)]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice or not keys:
        told = f"two would be called {listed(twice)}" if twice else "there is nothing to compare"
        raise ValueError(f"`embeddings` and `bounds`: {told}.")
    confused = [key for key in own if is_bound(key)]
    if confused:
        raise ValueError(
            f"{listed(confused)} would read as a bound, and never count as a candidate: add the "
            "embedding under another name, such as 'noise', or give another `key_added`."
        )
    return dict(zip(map(check_key, keys), [*sources, *bounds], strict=True))
