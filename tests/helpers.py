"""Small screens, and a witness that nothing was changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import pertscope as ps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONTROL = "control"


def make_table(
    perturbations: Sequence[str] | Mapping[str, Sequence[str]] = ("A", "B", "C", "D"),
    *,
    contexts: Sequence[str] = ("x", "y", "z"),
    n_cells: int = 3,
    n_controls: int = 8,
    seed: int = 0,
) -> pd.DataFrame:
    """Shuffled ``obs`` of a screen: columns `perturbation`, `cell_type`, `batch`.

    Perturbations are the same in every context, or a mapping gives those of each.
    """
    if not isinstance(perturbations, Mapping):
        perturbations = dict.fromkeys(contexts, perturbations)
    rows = [
        (label, context)
        for context, labels in perturbations.items()
        for label in [CONTROL] * n_controls + [p for p in labels for _ in range(n_cells)]
    ]
    obs = pd.DataFrame(rows, columns=["perturbation", "cell_type"], dtype="category")
    obs["batch"] = pd.Categorical([f"b{i % 2}" for i in range(len(obs))])
    obs.index = [f"cell{i}" for i in range(len(obs))]
    return obs.sample(frac=1, random_state=seed)


def make_screen(
    perturbations: Sequence[str] | Mapping[str, Sequence[str]] = ("A", "B", "C", "D"),
    *,
    n_genes: int = 5,
    counts: bool = False,
    register: bool = True,
    seed: int = 0,
    **table: Any,
) -> ad.AnnData:
    """Screen of :func:`make_table`, CSR float32: log-like values, or counts."""
    obs = make_table(perturbations, seed=seed, **table)
    rng = np.random.default_rng(seed)
    x = rng.poisson(2, (len(obs), n_genes)).astype(np.float32)
    x[:, 0] += 1  # no empty cell
    adata = ad.AnnData(
        sp.csr_matrix(x if counts else np.log1p(x)),
        obs=obs,
        var=pd.DataFrame(index=[f"g{j}" for j in range(n_genes)]),
    )
    if register:
        ps.pp.register(adata, covariate_keys=["cell_type"])
    return adata


def fingerprint(value: Any) -> Any:
    """Nested tuples that are equal only if every byte, type, name and order is."""
    if isinstance(value, ad.AnnData):
        parts = ("X", "obs", "var", "uns", "layers", "obsm", "varm", "obsp", "varp")
        return tuple((name, fingerprint(getattr(value, name))) for name in parts)
    if isinstance(value, pd.DataFrame):
        columns = tuple((c, fingerprint(value[c])) for c in value.columns)
        return "frame", tuple(value.index), columns
    if isinstance(value, pd.Series):
        return str(value.dtype), fingerprint(value.array)
    if isinstance(value, pd.Categorical):
        return tuple(value.categories), value.ordered, value.codes.tobytes()
    if isinstance(value, Mapping):
        return "mapping", tuple((k, fingerprint(v)) for k, v in value.items())
    if sp.issparse(value):
        parts = (value.data, value.indices, value.indptr)
        return value.format, value.shape, tuple(fingerprint(p) for p in parts)
    if isinstance(value, np.ndarray) and value.dtype != object:
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, list | tuple | np.ndarray | pd.api.extensions.ExtensionArray):
        return type(value).__name__, tuple(fingerprint(v) for v in value)
    return type(value).__name__, repr(value)


@contextmanager
def refused(adata: Any, error: type[Exception], match: str) -> Iterator[None]:
    """Expect an error of this message, and `adata` to be what it was before."""
    before = fingerprint(adata)
    with pytest.raises(error, match=match):
        yield
    assert fingerprint(adata) == before, "the failing call changed the AnnData"


def dense(x: Any) -> np.ndarray:
    """Matrix of any kind in memory as float64."""
    return np.asarray(x.toarray() if sp.issparse(x) else x, dtype=np.float64)


def assert_sound_split(adata: ad.AnnData) -> pd.DataFrame:
    """Hold every promise that all splits make; return the table of conditions."""
    screen = ps.get.screen(adata).screen
    column = adata.obs[screen.split_key]
    assert column.cat.categories.tolist() == ["train", "val", "test"]
    table = ps.get.conditions(adata)
    perturbed = table[~table["is_control"]]
    parts = perturbed["split"].dropna()
    assert set(parts) == {"train", "val", "test"}, (
        "a condition lies in several parts, or a part is empty"
    )
    components = perturbed[screen.perturbation_key].map(screen.components)
    seen = {p for label in components[perturbed["split"] == "train"] for p in label}
    assert all(seen.issuperset(c) for c in components[parts.index])
    contexts = table[[*screen.covariate_keys]].agg("|".join, axis=1)
    controls = table["split"][table["is_control"]].set_axis(contexts[table["is_control"]])
    for name, part in parts.items():
        assert part in controls[contexts[name]].split(", ")
    json.loads(adata.uns["pertscope"]["splits"][screen.split_key])
    return table
