"""Published settings: they are the source's, and replace defaults only."""

from __future__ import annotations

import inspect

import pandas as pd
import pytest
from tests.helpers import refused
from tests.models.small import NETWORKS, small_screen

import pertscope as ps
from pertscope.models._presets import read_presets
from pertscope.models._registry import MODELS

# As published, to five digits: width, latent, layers, dropout, lr, weight decay.
PUBLISHED = {
    ("linear", "norman19"): (None, None, None, None, 0.0047168, 1.7588e-08),
    ("linear", "srivatsan20"): (None, None, None, None, 0.00077876, 1.0632e-08),
    ("latent_additive", "norman19"): (5376, 64, 1, 0.1, 6.7796e-05, 1.0407e-08),
    ("latent_additive", "srivatsan20"): (3328, 64, 1, 0.6, 0.0013196, 9.3712e-07),
    ("decoder_only", "norman19"): (3328, None, 3, 0.0, 0.00013753, 4.4171e-05),
    ("decoder_only", "srivatsan20"): (4352, None, 5, 0.0, 6.7982e-05, 7.602e-06),
    ("decoder_only", "srivatsan20-covariates-only"): (4352, None, 5, 0.0, 5.3308e-06, 1.0553e-08),
    ("cpa", "norman19"): (3328, 64, 3, 0.4, 0.00052043, 2.2797e-07),
    ("cpa", "norman19-no-adversary"): (5376, 512, 3, 0.1, 0.00042282, 4.2699e-06),
    ("cpa", "srivatsan20"): (3328, 512, 3, 0.1, 0.00015862, 2.1167e-08),
    ("cpa", "srivatsan20-no-adversary"): (2304, 256, 1, 0.6, 0.00042397, 3.0637e-08),
    ("sams_vae", "norman19-simple"): (2304, 512, 1, 0.1, 8.4673e-05, 0.00059623),
    ("sams_vae", "srivatsan20-simple"): (2304, 128, None, 0.1, 5.9009e-05, 1.2618e-05),
    ("biolord", "norman19"): (2304, 512, 1, 0.4, 0.00016701, 0.00046077),
    ("biolord", "srivatsan20"): (2304, 512, 1, 0.4, 0.00016701, 0.00046077),
}
PUBLISHED_OF = [name for name in NETWORKS if name in read_presets()]
COMMON = ("n_hidden", "n_latent", "n_layers", "dropout", "lr", "weight_decay")
CPA = {
    "norman19": (926, 2, 10, 12.239597699082019, 3.004038025872867, 5, 0.8773995222957589),
    "srivatsan20": (438, 3, 20, 4.409853075505284, 0.13385611353853027, 5, 14.319077119336326),
}
OF_CPA = ("n_hidden_adversary", "n_layers_adversary", "adversary_steps", "adversary_weight")
OF_CPA += ("penalty_weight", "warmup_epochs", "kl_weight")
SMALL = {"n_hidden": 8, "n_latent": 4, "n_hidden_adversary": 8}


def as_dict(model: str, preset: str) -> dict:
    table = ps.models.presets(model).query("preset == @preset")
    return table.set_index("setting")["value"].to_dict()


def small_settings(name: str) -> dict:
    known = inspect.signature(MODELS[name].load()).parameters
    return {k: v for k, v in SMALL.items() if k in known}


def test_presets_are_the_published_ones() -> None:
    table = ps.models.presets()
    assert set(map(tuple, table[["model", "preset"]].to_numpy())) == set(PUBLISHED)
    for (model, preset), values in PUBLISHED.items():
        want = {k: v for k, v in zip(COMMON, values, strict=True) if v is not None}
        found = as_dict(model, preset)
        assert {k: found.get(k) for k in COMMON if k in found} == pytest.approx(want, rel=5e-3)
    for preset, values in CPA.items():
        found = as_dict("cpa", preset)
        assert found["adversarial"] is True
        want = dict(zip(OF_CPA, values, strict=True))
        assert {k: found[k] for k in OF_CPA} == pytest.approx(want, rel=5e-3)
        plain = as_dict("cpa", f"{preset}-no-adversary")
        assert plain["adversarial"] is False
        assert not set(OF_CPA[:-1]) & plain.keys()  # there is no adversary to set


def test_listing() -> None:
    table = ps.models.presets("cpa")
    assert table["model"].unique().tolist() == ["cpa"]
    assert table.columns.tolist() == ["model", "preset", "setting", "value"]
    pd.testing.assert_frame_equal(
        ps.models.presets().query("model == 'cpa'").reset_index(drop=True), table
    )
    with pytest.raises(ValueError, match="no presets of 'no_change'"):
        ps.models.presets("no_change")


def test_networks_have_presets_of_settings_that_exist() -> None:
    assert set(read_presets()) <= set(NETWORKS)
    for name, presets in read_presets().items():
        model = MODELS[name].load()
        for parts in presets.values():
            assert set(parts) == {"settings", "train"}
            assert set(parts["settings"]) <= set(inspect.signature(model).parameters) - {"seed"}
            assert set(parts["train"]) <= set(inspect.signature(model.train).parameters)


@pytest.mark.parametrize("name", PUBLISHED_OF)
def test_fit(name) -> None:
    fit = getattr(ps.tl, f"fit_{name}")
    preset, *_ = read_presets()[name]
    settings, train = read_presets()[name][preset].values()
    small = small_settings(name)  # differs from the defaults, and wins
    adata = small_screen()
    model = fit(adata, preset=preset, max_epochs=1, accelerator="cpu", **small)
    defaults = {k: p.default for k, p in inspect.signature(type(model)).parameters.items()}
    del defaults["adata"]
    assert model.settings == defaults | settings | small
    assert model.history["lr"].tolist() == [train["lr"]]
    model = fit(adata, preset=preset, max_epochs=1, accelerator="cpu", lr=0.5, seed=3, **small)
    assert model.history["lr"].tolist() == [0.5]
    assert model.settings["seed"] == 3
    with refused(adata, ValueError, f"no preset 'norman'; there are '{preset}'"):
        fit(adata, preset="norman")


def test_weight_decay_arrives(monkeypatch) -> None:
    seen = {}
    model = MODELS["linear"].load()
    monkeypatch.setattr(model, "train", lambda _, **kwargs: seen.update(kwargs))
    with pytest.raises(ValueError, match="not trained"):
        ps.tl.fit_linear(small_screen(), preset="norman19", batch_size=7)
    assert seen == {"lr": 4.72e-3, "weight_decay": 1.76e-8, "batch_size": 7}
