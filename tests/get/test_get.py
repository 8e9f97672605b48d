"""What every function in ``get`` promises: it reads, names what is missing, and writes nothing."""

from __future__ import annotations

import anndata as ad
import pytest
from tests.helpers import fingerprint, make_screen, refused

import pertscope as ps

READERS = {
    "screen": ps.get.screen,
    "conditions": ps.get.conditions,
    "effects": ps.get.effects,
    "imbalance": ps.get.imbalance,
    "scores": ps.get.scores,
    "prediction": lambda a: ps.get.prediction(a, "mine"),
}


@pytest.mark.parametrize("name", READERS)
def test_not_registered(name) -> None:
    adata = make_screen(register=False)
    with refused(adata, KeyError, r"not registered as a screen: call `ps\.pp\.register"):
        READERS[name](adata)


@pytest.mark.parametrize("name", READERS)
def test_only_anndata(name) -> None:
    with pytest.raises(TypeError, match="expected an AnnData, got DataFrame"):
        READERS[name](make_screen().obs)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.filterwarnings("ignore:.*not unique")
def test_after_concatenation(name) -> None:
    adata = ad.concat({"one": make_screen(), "two": make_screen()}, index_unique="-")
    with refused(adata, KeyError, "drops `.uns`: register the result again"):
        READERS[name](adata)


@pytest.mark.parametrize("name", ["screen", "conditions", "effects", "imbalance"])
def test_reads_only(name) -> None:
    adata = make_screen()
    before = fingerprint(adata)
    assert repr(READERS[name](adata)) == repr(READERS[name](adata))
    assert fingerprint(adata) == before


@pytest.mark.parametrize("name", ["screen", "conditions", "effects", "imbalance"])
@pytest.mark.parametrize(
    ("column", "error", "match"),
    [("gone", KeyError, "no column 'perturbation'"), ("nan", ValueError, "has 1 missing label")],
)
def test_columns_lost_since(name, column, error, match) -> None:
    adata = make_screen()
    if column == "gone":
        del adata.obs["perturbation"]
    else:
        adata.obs.iloc[0, adata.obs.columns.get_loc("perturbation")] = None
    with refused(adata, error, match):
        READERS[name](adata)
