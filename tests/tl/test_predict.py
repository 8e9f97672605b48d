from __future__ import annotations

import pandas as pd
import pytest
from tests.helpers import fingerprint, refused
from tests.models.small import EMBEDDED, small_screen, trained

import pertscope as ps
from pertscope.models._registry import MODELS

pytestmark = pytest.mark.parametrize("name", MODELS)


def test_predict(name) -> None:
    adata, model = small_screen(), trained(name)
    a, b, *_ = model.vocabulary.perturbations
    assert ps.tl.predict(adata, model) is None
    assert fingerprint(ps.get.prediction(adata, name)) == fingerprint(model.predict())
    table = pd.DataFrame({"cell_type": ["B"], "perturbation": [f"{a}+{b}"]})
    for conditions in ([a, f"{a}+{b}"], table):
        for arguments in ({}, {"max_controls": 3, "seed": 1}, {"cells_per_condition": 3}):
            ps.tl.predict(adata, model, conditions, key_added="mine", **arguments)
            want = model.predict(conditions, **arguments)
            assert fingerprint(ps.get.prediction(adata, "mine").X) == fingerprint(want.X)
            assert ps.get.prediction(adata, "mine").obs.equals(want.obs)
    assert list(adata.uns["pertscope"]["predictions"]) == [name, "mine"]


def test_refusals(name) -> None:
    adata, model = small_screen(), trained(name)
    if model.tells_perturbations:
        what = "have no row" if name in EMBEDDED else "never saw perturbation"
        with refused(adata, ValueError, f"{what}.*'zz'"):
            ps.tl.predict(adata, model, ["zz"])
    with refused(adata, ValueError, "cannot be stored"):
        ps.tl.predict(adata, model, key_added="")
    with refused(adata, ValueError, "`max_controls`=-1"):
        ps.tl.predict(adata, model, max_controls=-1)
    other = adata[:, 1:].copy()
    with refused(other, ValueError, "lacks 1 of the model's 20 genes: 'g0'"):
        ps.tl.predict(other, model)
    del adata.uns["pertscope"]
    with refused(adata, KeyError, "not registered"):
        ps.tl.predict(adata, model)
