"""Screens to draw, made without a simulation, and what is written on a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
from matplotlib.text import Text

import pertscope as ps

if TYPE_CHECKING:
    import pytest
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

NAMES = (
    "linear",
    "mean_effect",
    "a_rather_long_model_name",
    *(f"model_{i}" for i in range(9)),
)


def predicted_screen(
    n_conditions: int,
    n_predictions: int,
    *,
    contexts: tuple[str, ...] = ("k562",),
    n_genes: int = 40,
    seed: int = 0,
) -> ad.AnnData:
    """Screen with predictions of falling quality; all conditions are in test."""
    rng = np.random.default_rng(seed)
    labels = [f"GENE{i}" for i in range(n_conditions)]
    base = 4 + rng.gamma(2, 1, n_genes)
    programs = rng.normal(size=(5, n_genes))
    effect = {label: rng.normal(size=5) @ programs * 0.3 for label in labels}
    rows = [(p, c) for c in contexts for p in ["control"] * 8 + labels for _ in range(4)]
    x = np.stack([base + effect.get(p, 0) + 0.4 * rng.normal(size=n_genes) for p, _ in rows])
    obs = pd.DataFrame(rows, columns=["perturbation", "cell_type"], dtype="category")
    obs["split"] = pd.Categorical(["test"] * len(obs), categories=["train", "val", "test"])
    obs.index = [f"cell{i}" for i in range(len(obs))]
    var = pd.DataFrame(index=[f"g{i}" for i in range(n_genes)])
    adata = ad.AnnData(np.maximum(x, 0).astype(np.float32), obs=obs, var=var)
    ps.pp.register(adata, covariate_keys=["cell_type"])
    table = ps.get.conditions(adata).query("~is_control")[["cell_type", "perturbation"]]
    truth = ps.get.effects(adata).to_numpy()
    for i, name in enumerate(NAMES[:n_predictions]):
        means = base + truth / (1 + i) + 0.1 * i * rng.normal(size=truth.shape)
        prediction = ad.AnnData(np.maximum(means, 0.01), obs=table, var=var)
        ps.pp.add_prediction(adata, prediction, name)
    return adata


def written(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> dict[Text, Bbox]:
    """Where each text lies that is drawn and not empty."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # which draws texts, and moves them, before they are drawn
    found: dict[Text, Bbox] = {}
    draw = Text.draw

    def note(self: Text, renderer: object) -> None:
        draw(self, renderer)
        if self.get_visible() and self.get_text().strip():
            found[self] = Text.get_window_extent(self)

    with monkeypatch.context() as patch:
        patch.setattr(Text, "draw", note)
        figure.canvas.draw()
    return found


def overlapping(boxes: dict[Text, Bbox]) -> list[tuple[str, str]]:
    """Pairs of texts that share more than a hair's breadth."""
    shrunk = [(t.get_text(), b.padded(-0.6)) for t, b in boxes.items()]
    return [
        (a, b)
        for i, (a, box) in enumerate(shrunk)
        for b, other in shrunk[:i]
        if box.overlaps(other)
    ]


def outside(figure: Figure, boxes: dict[Text, Bbox]) -> list[str]:
    """Texts that leave the figure."""
    page = figure.bbox.padded(1)
    return [
        t.get_text()
        for t, b in boxes.items()
        if b.x0 < page.x0 or b.y0 < page.y0 or b.x1 > page.x1 or b.y1 > page.y1
    ]
