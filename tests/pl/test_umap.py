"""Maps of cells: each cell where it is, in the colour of its group."""

from __future__ import annotations

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from tests.helpers import fingerprint
from tests.pl.pictures import outside, overlapping, written

import pertscope as ps
from pertscope.pl._umap import COLORS, CONTROL, OTHERS


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def mapped(n_perturbations: int, n_batches: int = 3) -> ad.AnnData:
    """Screen with a map; later perturbations have fewer cells."""
    rng = np.random.default_rng(0)
    names = ["control", *(f"a rather long compound {i:03}" for i in range(n_perturbations))]
    labels = np.repeat(names, np.arange(len(names), 0, -1) + 3)
    obs = pd.DataFrame({"perturbation": pd.Categorical(labels)})
    obs["batch"] = rng.integers(0, n_batches, len(obs))
    obs["depth"] = rng.gamma(3, 100, len(obs))
    obs.index = [f"cell{i}" for i in range(len(obs))]
    adata = ad.AnnData(np.zeros((len(obs), 1), np.float32), obs=obs)
    adata.obsm["X_pca"] = rng.normal(size=(len(obs), 5))
    adata.obsm["X_pca_umap"] = rng.normal(size=(len(obs), 2))
    ps.pp.register(adata, batch_key="batch")
    return adata


def colors_of_cells(ax, adata) -> np.ndarray:
    """Colour that each cell was drawn in."""
    (drawn,) = ax.collections
    points = adata.obsm["X_pca_umap"]
    place = {tuple(point): i for i, point in enumerate(points)}
    rows = [place[tuple(point)] for point in np.asarray(drawn.get_offsets())]
    assert sorted(rows) == list(range(len(points)))
    assert rows != sorted(rows)  # no group lies over another
    found = np.empty(len(points), dtype=object)
    found[rows] = [to_hex(color) for color in drawn.get_facecolors()]
    return found


def legend(ax) -> dict[str, str]:
    box = ax.get_legend()
    names = [text.get_text() for text in box.get_texts()]
    return dict(zip(names, [to_hex(h.get_color()) for h in box.legend_handles], strict=True))


def test_few_groups() -> None:
    adata = mapped(4)
    before = fingerprint(adata)
    perturbation, batch = ps.pl.umap(adata)
    assert (perturbation.get_title(), batch.get_title()) == ("perturbation", "batch")
    names = adata.obs["perturbation"].astype(str)
    want = legend(perturbation)
    assert set(want) == set(names)
    assert want["control"] == to_hex(CONTROL)
    assert len(set(want.values())) == 5
    assert (colors_of_cells(perturbation, adata) == names.map(want)).all()
    want = legend(batch)  # a number, but registered as a label
    assert list(want) == ["0", "1", "2"]
    assert (colors_of_cells(batch, adata) == adata.obs["batch"].astype(str).map(want)).all()
    assert fingerprint(adata) == before


def test_of_many_groups_the_largest() -> None:
    adata = mapped(40)
    adata.obs["perturbation"] = adata.obs["perturbation"].where(adata.obs_names != "cell60")
    (ax,) = ps.pl.umap(adata, color="perturbation")
    want = legend(ax)
    names = [f"a rather long compound {i:03}" for i in range(6)]
    assert list(want) == [*names, "control", "34 others", "missing"]
    assert [want[name] for name in names] == [to_hex(c) for c in COLORS]
    labels = adata.obs["perturbation"].astype(str)
    shown = labels.map(want).fillna(to_hex(OTHERS))
    assert (colors_of_cells(ax, adata) == shown).all()
    drawn = [to_hex(color) for color in ax.collections[0].get_facecolors()]
    n_others = (shown == to_hex(OTHERS)).sum()
    assert set(drawn[:n_others]) == {to_hex(OTHERS)}
    assert to_hex(OTHERS) not in drawn[n_others:]


def test_numbers() -> None:
    adata = mapped(4)
    adata.obs.loc["cell3", "depth"] = np.nan
    (ax,) = ps.pl.umap(adata, color=["depth"])
    (drawn,) = ax.collections
    values = np.ma.filled(drawn.get_array(), np.nan)
    found = dict(zip(map(tuple, np.asarray(drawn.get_offsets())), values, strict=True))
    at = [found[tuple(point)] for point in adata.obsm["X_pca_umap"]]
    np.testing.assert_array_equal(at, adata.obs["depth"])
    drawn.update_scalarmappable()
    assert to_hex(drawn.get_facecolors()[0]) == to_hex(OTHERS)  # below all others
    assert drawn.colorbar is not None


@pytest.mark.parametrize("n", [4, 300])
def test_no_text_lies_over_another(n, monkeypatch) -> None:
    axes = ps.pl.umap(mapped(n, n_batches=48), color=["perturbation", "batch", "depth"])
    boxes = written(axes[0].figure, monkeypatch)
    assert len(boxes) > 10
    assert overlapping(boxes) == []
    assert outside(axes[0].figure, boxes) == []


def test_given_axes_are_drawn_into() -> None:
    _, axes = plt.subplots(1, 2)
    assert ps.pl.umap(mapped(4), axes=axes) == list(axes)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"key": "X_scvi_umap"}, KeyError, r"call `ps\.tl\.umap\(adata, 'X_scvi'\)` first"),
        ({"key": "X_pca"}, ValueError, "has 5 dimensions: call .* and draw 'X_pca_umap'"),
        ({"color": "dept"}, KeyError, "`.obs` has no 'dept'; nearest: 'depth'"),
        ({"color": []}, ValueError, "`color` is empty"),
        ({"axes": []}, ValueError, "`axes` holds 0 Axes for 2 columns"),
    ],
)
def test_refuses(options, error, message) -> None:
    with pytest.raises(error, match=message):
        ps.pl.umap(mapped(4), **options)


def test_refuses_what_is_no_screen() -> None:
    adata = mapped(4)
    del adata.uns["pertscope"]
    with pytest.raises(KeyError, match="not registered"):
        ps.pl.umap(adata)
