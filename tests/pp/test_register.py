from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from tests.helpers import fingerprint, make_screen, refused

import pertscope as ps
from pertscope._core.screen import Screen

if TYPE_CHECKING:
    import anndata as ad

REGISTERED = {"covariate_keys": ["cell_type"]}


@pytest.fixture
def adata() -> ad.AnnData:
    found = make_screen(register=False)
    found.obs["dose"] = 1.0
    found.layers["logged"] = found.X.copy()
    return found


def test_writes_plain_values_and_nothing_else(adata) -> None:
    before = dict(fingerprint(adata))
    ps.pp.register(adata, **REGISTERED, batch_key="batch", dose_key="dose", layer="logged")
    after = dict(fingerprint(adata))
    assert [k for k in after if after[k] != before[k]] == ["uns"]
    assert list(adata.uns) == ["pertscope"]
    assert adata.uns["pertscope"] == {
        "screen": {
            "perturbation_key": "perturbation",
            "control": "control",
            "covariate_keys": ["cell_type"],
            "batch_key": "batch",
            "dose_key": "dose",
            "combination_separator": "+",
            "split_key": "split",
            "layer": "logged",
            "schema_version": 1,
        }
    }


def test_again_is_the_same_and_keeps_the_rest(adata) -> None:
    ps.pp.register(adata, **REGISTERED)
    ps.pp.split_transfer(adata, max_fraction=0.5)
    before = fingerprint(adata)
    ps.pp.register(adata, **REGISTERED)
    assert fingerprint(adata) == before
    ps.pp.register(adata, combination_separator=None)
    assert Screen.of(adata) == Screen(combination_separator=None)
    assert "splits" in adata.uns["pertscope"]


def test_a_batch_may_be_a_covariate_and_labels_may_be_numbers(adata) -> None:
    adata.obs["line"] = pd.Categorical(np.resize([1, 2], adata.n_obs))
    adata.obs["guide"] = adata.obs["perturbation"].cat.codes
    control = adata.obs["guide"][adata.obs["perturbation"] == "control"].iloc[0]
    ps.pp.register(
        adata, perturbation_key="guide", control=control, covariate_keys=["line"], batch_key="line"
    )
    assert Screen.of(adata).control == str(control)
    assert len(ps.get.conditions(adata)) == 10


def test_a_single_perturbation_is_a_screen() -> None:
    adata = make_screen(["A"])
    assert ps.get.effects(adata).shape == (3, 5)
    summary = ps.get.screen(adata)
    assert (summary.n_perturbations, summary.n_conditions) == (1, 3)


def test_labels_with_a_plus_sign_that_are_no_combinations() -> None:
    labels = ["(+)-JQ1", "JQ1", "(-)-JQ1", ")-JQ1+("]
    with pytest.raises(ValueError, match=r"name the same perturbation.*combination_separator=None"):
        make_screen(labels)
    adata = make_screen(labels, register=False)
    ps.pp.register(adata, **REGISTERED, combination_separator=None)
    summary = ps.get.screen(adata)
    assert (summary.n_perturbations, summary.n_combinations) == (4, 0)


def test_a_control_inside_a_combination_is_no_perturbation() -> None:
    adata = make_screen(["A+control", "B", "B+A"])
    summary = ps.get.screen(adata)
    assert (summary.n_perturbations, summary.n_combinations) == (2, 1)
    assert ps.get.conditions(adata).query("is_combination")["perturbation"].unique() == ["B+A"]


def test_a_control_that_is_a_pair_of_controls() -> None:
    adata = make_screen(["g3+NT", "g1+g3"], register=False)
    names = adata.obs["perturbation"].cat.rename_categories({"control": "NT+NT"})
    adata.obs["perturbation"] = names
    ps.pp.register(adata, control="NT+NT", **REGISTERED)
    summary = ps.get.screen(adata)
    assert (summary.n_perturbations, summary.n_combinations) == (2, 1)
    adata.obs["perturbation"] = names.cat.rename_categories({"g3+NT": "NT"})
    with refused(adata, ValueError, r"same perturbation: 'NT = NT\+NT'"):
        ps.pp.register(adata, control="NT+NT", **REGISTERED)


@pytest.mark.parametrize("key", ["split", "gene", "effect", "score", "p_value", "p_adjusted"])
def test_covariates_named_as_columns_of_tables(adata, key) -> None:
    adata.obs[key] = adata.obs["cell_type"]
    with refused(adata, ValueError, f"'{key}' are named as columns that tables"):
        ps.pp.register(adata, covariate_keys=[key], split_key="part")
    ps.pp.register(adata, **REGISTERED, split_key=key)
    assert Screen.of(adata).split_key == key


@pytest.mark.parametrize("key", ["n_cells", "n_controls", "is_control", "is_combination", "split"])
def test_perturbations_named_as_columns_of_conditions(adata, key) -> None:
    adata.obs[key] = adata.obs["perturbation"]
    with refused(adata, ValueError, f"'{key}' are named as columns that tables"):
        ps.pp.register(adata, perturbation_key=key, split_key="part")


@pytest.mark.parametrize(
    ("keys", "error", "match"),
    [
        (
            {"perturbation_key": "perturbatoin"},
            KeyError,
            "no column 'perturbatoin'; nearest: 'pert",
        ),
        ({"covariate_keys": ["celltype"]}, KeyError, "no column 'celltype'; nearest: 'cell_type'"),
        ({"batch_key": "plate"}, KeyError, "no column 'plate'"),
        ({"dose_key": "doze"}, KeyError, "no column 'doze'; nearest: 'dose'"),
        ({"layer": "loged"}, KeyError, "`.layers` has no 'loged'; nearest: 'logged'"),
        ({"control": "Control"}, ValueError, "no control label 'Control'; nearest: 'control'"),
        ({"control": "contrl"}, ValueError, "no control label 'contrl'; nearest: 'control'"),
        (
            {"control": "DMSO"},
            ValueError,
            "'perturbation'.* has no control label 'DMSO'; there are",
        ),
        ({"covariate_keys": "cell_type"}, TypeError, r"takes a list of columns: \['cell_type'\]"),
        ({"combination_separator": ""}, ValueError, "must not be empty; `None` means no comb"),
        ({"covariate_keys": ["cell_type"] * 2}, ValueError, "'cell_type' cannot have two meanings"),
        ({"covariate_keys": ["perturbation"]}, ValueError, "'perturbation' cannot have two mean"),
        ({"covariate_keys": ["metric"]}, ValueError, "'metric' are named as columns that tables"),
        ({"split_key": "batch", "batch_key": "batch"}, ValueError, "'batch' cannot have two mean"),
        ({"split_key": "a/b"}, ValueError, "`split_key`='a/b' cannot be stored"),
        ({"dose_key": "batch"}, TypeError, "'batch'.* must be numeric to be a dose"),
    ],
    ids=str,
)
@pytest.mark.parametrize("registered", [False, True])
def test_bad_arguments(adata, keys, error, match, registered) -> None:
    if registered:
        ps.pp.register(adata, **REGISTERED)
    with refused(adata, error, match):
        ps.pp.register(adata, **keys)


def duplicate_cells(adata: ad.AnnData) -> None:
    adata.obs_names = ["cell0", *adata.obs_names[:-1]]


def duplicate_genes(adata: ad.AnnData) -> None:
    adata.var_names = ["g0", "g0", "g1", "g1", "g2"]


def lose_labels(adata: ad.AnnData, key: str) -> None:
    adata.obs[key] = adata.obs[key].astype(object)
    adata.obs.loc[adata.obs_names[[2, 4]], key] = np.nan


def only_controls(adata: ad.AnnData) -> None:
    adata.obs["perturbation"] = "control"


def no_controls_in_x(adata: ad.AnnData) -> None:
    lost = (adata.obs["cell_type"] == "x") & (adata.obs["perturbation"] == "control")
    adata._inplace_subset_obs(~lost.to_numpy())


def both_orders(adata: ad.AnnData) -> None:
    adata.obs["perturbation"] = adata.obs["perturbation"].replace({"C": "A+B", "D": "B+A"})


def single_twice(adata: ad.AnnData) -> None:
    adata.obs["perturbation"] = adata.obs["perturbation"].replace({"D": "A+control"})


@pytest.mark.filterwarnings("ignore:.*not unique", "ignore:The behavior of Series.replace")
@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (duplicate_cells, "obs_names` holds 1 name.*'cell0'.*obs_names_make_unique"),
        (duplicate_genes, "var_names` holds 2 name.*'g0', 'g1'.*var_names_make_unique"),
        (lambda a: lose_labels(a, "perturbation"), "'perturbation'.* has 2 missing label"),
        (lambda a: lose_labels(a, "cell_type"), "'cell_type'.* has 2 missing label"),
        (lambda a: lose_labels(a, "batch"), "'batch'.* has 2 missing label"),
        (only_controls, "holds nothing but the control 'control'"),
        (no_controls_in_x, r"1 combination.*\['cell_type'\] have no 'control' cells: 'x'"),
        (both_orders, r"1 pair.*same perturbation: 'A\+B = B\+A'"),
        (single_twice, r"1 pair.*same perturbation: 'A = A\+control'"),
        (lambda a: a.__delattr__("X"), "no `.X`: register the `layer`"),
    ],
)
def test_bad_screens(spoil, match) -> None:
    adata = make_screen(register=False)
    spoil(adata)
    with refused(adata, ValueError, match):
        ps.pp.register(adata, **REGISTERED, batch_key="batch")


@pytest.mark.parametrize("wrong", ["screen.h5ad", pd.DataFrame()])
def test_only_anndata(wrong) -> None:
    with pytest.raises(TypeError, match="expected an AnnData, got"):
        ps.pp.register(wrong)


def test_mudata() -> None:
    mudata = pytest.importorskip("mudata")
    with mudata.set_options(pull_on_update=False):
        mdata = mudata.MuData({"rna": make_screen(register=False)})
        with pytest.raises(TypeError, match="got a MuData"):
            ps.pp.register(mdata)
        ps.pp.register(mdata["rna"], **REGISTERED)
        assert Screen.of(mdata["rna"]).covariate_keys == ("cell_type",)


def test_real_screens(devel, papalexi) -> None:
    keys = {"perturbation_key": "condition", "covariate_keys": ["cell_type"]}
    ps.pp.register(devel, **keys)
    assert ps.get.screen(devel).n_combinations == 15
    ps.pp.register(papalexi, control="non-targeting", batch_key="bio_rep")
    assert ps.get.screen(papalexi).n_controls == {(): 2386}
    with refused(devel, KeyError, "no column 'cell_line'; nearest"):
        ps.pp.register(devel, **keys | {"covariate_keys": ["cell_line"]})
