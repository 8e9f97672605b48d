"""Precision of replicates as a metric of integration, against copairs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.ev import copairs_peer, cpjump1
from tests.ev.embedded import make_embedded

import pertscope as ps
from pertscope.ev._integration_metrics import EVERY_METRIC, METRICS

NAMES = ["map_controls", "map_nonreplicates"]


def nonreplicates(x, labels, batch) -> pd.DataFrame:
    """copairs on profiles that are no controls."""
    from copairs.map import average_precision

    meta = pd.DataFrame({"label": labels, "batch": batch})
    return average_precision(meta, x, ["label"], [], ["batch"], ["label"], progress_bar=False)


def expected(x, labels, batch, control) -> list[float]:
    """Means over labels of copairs' means over their profiles."""
    kept = labels != control
    both = [
        copairs_peer.activity(x, labels, batch, control=control).set_index("perturbation"),
        nonreplicates(x[kept], labels[kept], batch[kept]).set_index("label"),
    ]
    return [float(t["average_precision"].groupby(level=0).mean().mean()) for t in both]


def values(adata) -> pd.Series:
    return adata.uns["integration"].set_index("metric")["value"]


def test_as_copairs() -> None:
    adata = make_embedded(12, n_cells=8, signal=2)
    ps.ev.integration(adata, "X_rep", metrics=NAMES)
    columns = (adata.obs[c].to_numpy(str) for c in ("perturbation", "batch"))
    want = expected(adata.obsm["X_rep"], *columns, "control")
    np.testing.assert_allclose(values(adata)[NAMES], want, rtol=0, atol=1e-6)
    assert values(adata)["biology"] == pytest.approx(np.mean(want), abs=1e-6)


def test_as_copairs_on_cpjump1(data_dir) -> None:
    adata = cpjump1.load(data_dir)
    adata = adata[adata.obs["Plate"].isin(adata.obs["Plate"].unique()[:3])].copy()
    ps.ev.integration(adata, None, metrics=NAMES)
    columns = (adata.obs[c].to_numpy(str) for c in ("broad_sample", "Plate"))
    want = expected(np.asarray(adata.X), *columns, "DMSO")
    np.testing.assert_allclose(values(adata)[NAMES], want, rtol=0, atol=1e-6)


def test_they_are_counted_where_they_are_asked_for() -> None:
    adata = make_embedded(12, n_cells=8, signal=2)
    ps.ev.integration(adata, "X_rep", metrics="profiles", perplexity=10)
    table = adata.uns["integration"]
    assert table["metric"].tolist()[:-3] == [*METRICS, *NAMES] == [*EVERY_METRIC]
    counted = [n for n, m in EVERY_METRIC.items() if m.kind == "biology" and m.in_total]
    assert set(NAMES) < set(counted)
    assert values(adata)["biology"] == pytest.approx(values(adata)[counted].mean())


def test_what_cannot_be_ranked_is_said() -> None:
    adata = make_embedded(12, n_cells=8, signal=2)
    adata.obs["cell_type"] = np.where(np.arange(adata.n_obs) % 2, "x", "y")
    ps.ev.integration(adata, "X_rep", metrics=NAMES, label_key="cell_type")
    table = adata.uns["integration"].set_index("metric")
    assert np.isnan(table.loc["map_controls", "value"])
    assert table.loc["map_controls", "note"] == "no label is the control"
    assert np.isfinite(table.loc["map_nonreplicates", "value"])
    lost = (adata.obs["perturbation"] == "control") & (adata.obs["batch"] == "b2")
    part = adata[~lost.to_numpy()].copy()
    ps.ev.integration(part, "X_rep", metrics=NAMES)
    notes = part.uns["integration"].set_index("metric")["note"]
    n = ((part.obs["batch"] == "b2") & (part.obs["perturbation"] != "control")).sum()
    assert notes["map_controls"].startswith(f"{n} left out")
    assert notes["map_nonreplicates"] == ""
