from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pytest
from tests.helpers import fingerprint, make_screen, refused

import pertscope as ps
from pertscope._core.screen import SCHEMA_VERSION, Screen, require_actual, require_anndata


@pytest.mark.parametrize(
    ("label", "separator", "parts"),
    [
        ("control", "+", ()),
        ("A", "+", ("A",)),
        ("B+A", "+", ("A", "B")),
        (" A + B ", "+", ("A", "B")),
        ("C+B+A", "+", ("A", "B", "C")),
        ("A+control", "+", ("A",)),
        ("control+A", "+", ("A",)),
        ("A+A", "+", ("A",)),
        ("A+", "+", ("A",)),
        ("+", "+", ("+",)),
        ("A_B", "_", ("A", "B")),
        ("A and B", " and ", ("A", "B")),
        ("(+)-JQ1", None, ("(+)-JQ1",)),
        ("A+B", None, ("A+B",)),
        ("control", None, ()),
    ],
)
def test_components(label, separator, parts) -> None:
    assert Screen(combination_separator=separator).components(label) == parts


@pytest.mark.parametrize(
    ("label", "parts"),
    [("NT+NT", ()), ("g3+NT", ("g3",)), ("NT + g3", ("g3",)), ("g3+g1", ("g1", "g3")), ("NT", ())],
)
def test_parts_of_a_control_are_no_perturbations(label, parts) -> None:
    assert Screen(control="NT+NT").components(label) == parts


@pytest.mark.parametrize(
    "screen",
    [
        Screen(),
        Screen("gene", "NT", ("cell_type", "dose"), "plate", "dose", None, "fold", "logged"),
        Screen(covariate_keys=("cell_type",), combination_separator="_"),
    ],
)
def test_what_is_written_is_read(screen, tmp_path) -> None:
    adata = ad.AnnData(np.ones((1, 1)))
    screen.write(adata)
    assert Screen.of(adata) == screen
    assert json.loads(json.dumps(screen.to_dict())) == screen.to_dict()
    adata.write_h5ad(tmp_path / "x.h5ad")
    assert Screen.of(ad.read_h5ad(tmp_path / "x.h5ad")) == screen


def test_condition_keys_end_with_the_perturbation() -> None:
    assert Screen("p", covariate_keys=("b", "a")).condition_keys == ["b", "a", "p"]


@pytest.mark.parametrize("version", [None, SCHEMA_VERSION - 1, SCHEMA_VERSION + 1])
def test_other_schema_versions_are_refused(version) -> None:
    adata = make_screen()
    entry = adata.uns["pertscope"]["screen"]
    entry.pop("schema_version") if version is None else entry.update(schema_version=version)
    with refused(adata, ValueError, f"schema version {version or 0}, this pertscope reads"):
        Screen.of(adata)


@pytest.mark.filterwarnings("ignore:.*not unique")
def test_concatenation_loses_the_screen() -> None:
    adata = ad.concat([make_screen(), make_screen()])
    with refused(adata, KeyError, r"not registered .*ps\.pp\.register.*anndata.concat"):
        Screen.of(adata)


@pytest.mark.parametrize("wrong", [None, 3, np.ones((2, 2)), make_screen().obs])
def test_only_anndata(wrong) -> None:
    with pytest.raises(TypeError, match=f"expected an AnnData, got {type(wrong).__name__}"):
        require_anndata(wrong)


def test_mudata_is_told_about_modalities() -> None:
    mudata = pytest.importorskip("mudata")
    with mudata.set_options(pull_on_update=False):
        mdata = mudata.MuData({"rna": make_screen()})
        with pytest.raises(TypeError, match=r"got a MuData: pass one modality.*mdata\['rna'\]"):
            Screen.of(mdata)
        assert Screen.of(mdata["rna"]).covariate_keys == ("cell_type",)


def test_a_view_becomes_actual_and_its_parent_stays() -> None:
    parent = make_screen()
    before = fingerprint(parent)
    view = parent[:10]
    with pytest.warns(UserWarning, match="received a view"):
        require_actual(view)
    assert not view.is_view
    view.uns["pertscope"]["screen"]["control"] = "other"
    assert fingerprint(parent) == before


def test_no_warning_without_a_view() -> None:
    adata = make_screen()
    before = fingerprint(adata)
    require_actual(adata)
    assert fingerprint(adata) == before


def test_a_view_of_a_file_is_refused(tmp_path) -> None:
    make_screen().write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    with pytest.raises(ValueError, match=r"view of an AnnData on disk.*\.to_memory\(\)"):
        ps.pp.register(backed[:60], covariate_keys=["cell_type"])
