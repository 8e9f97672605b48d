from __future__ import annotations

import pytest
from tests.helpers import make_screen, refused

import pertscope as ps
from pertscope._core.predictions import store_prediction


def test_by_name() -> None:
    adata = make_screen()
    stored = make_screen()
    store_prediction(adata, "latent_additive", stored)
    assert ps.get.prediction(adata, "latent_additive") is stored
    with refused(adata, KeyError, "no prediction 'additive'; nearest: 'latent_additive'"):
        ps.get.prediction(adata, "additive")


def test_none_yet() -> None:
    with pytest.raises(KeyError, match=r"no predictions: call a `ps\.tl\.fit_\*` function"):
        ps.get.prediction(make_screen(), "linear")
