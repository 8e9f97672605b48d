"""Files of a small screen and its predictions, and what a page of HTML holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pertscope as ps

if TYPE_CHECKING:
    from pathlib import Path

    import anndata as ad

FAST = ["--metrics", "rmse_mean", "rmse_rank_mean"]
COLUMNS = ["--perturbation-key", "condition", "--covariate-keys", "cell_type"]
OPEN = {"meta", "img"}
"""Elements that have no end."""


def screen() -> ad.AnnData:
    """Counts, not registered: 3 cell types x 20 perturbations, column `condition`."""
    adata = ps.datasets.simulate_screen(
        n_perturbations=20, n_genes=40, n_cells_per_condition=10, n_controls=40, seed=0
    )
    adata.uns.clear()
    adata.obs = adata.obs[["perturbation", "cell_type"]]
    adata.obs = adata.obs.rename(columns={"perturbation": "condition"})
    return adata


def judged_screen() -> ad.AnnData:
    """The same, registered, normalised and split, with predicted means and cells."""
    adata = screen()
    ps.pp.register(adata, perturbation_key="condition", covariate_keys=["cell_type"])
    ps.pp.normalize(adata, counts_layer=None)
    ps.pp.split_transfer(adata, seed=0)
    model = ps.tl.fit_additive(adata, key_added="means")
    ps.tl.predict(adata, model, key_added="cells", cells_per_condition=5)
    return adata


def write_all(folder: Path) -> ad.AnnData:
    """Write `counts`, `split`, `means` and `cells`; return what they were made of."""
    adata = judged_screen()
    for name in ("means", "cells"):
        ps.get.prediction(adata, name).write_h5ad(folder / f"{name}.h5ad")
    screen().write_h5ad(folder / "counts.h5ad")
    bare = adata.copy()
    bare.uns.clear()
    bare.write_h5ad(folder / "split.h5ad")
    return adata


def expected(adata: ad.AnnData, names: list[str], **arguments) -> ad.AnnData:
    """The same judged by hand."""
    adata = adata.copy()
    ps.ev.evaluate(adata, names, **arguments)
    return adata


@dataclass
class Page(HTMLParser):
    """Text, tables and pictures of a page; raises where elements are not closed in order."""

    rows: list[list[str]] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Page:
        page = cls()
        HTMLParser.__init__(page)
        page.feed(path.read_text(encoding="utf-8"))
        page.close()
        assert page.inside == [], f"left open: {page.inside}"
        return page

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs) -> None:
        attributes = dict(attrs)
        self.links += [attributes[k] for k in ("href", "src") if k in attributes]
        if tag == "img":
            self.pictures.append(attributes["src"])
            width = attributes["style"].removeprefix("--width: ").removesuffix("px")
            self.widths.append(int(width))
        if tag not in OPEN:
            self.inside.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_endtag(self, tag) -> None:
        assert self.inside.pop() == tag

    def handle_data(self, data) -> None:
        if "style" in self.inside:
            return
        self.words.append(data)
        if {"td", "th"} & set(self.inside):
            self.rows[-1][-1] += data
