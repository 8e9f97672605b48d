"""Molecular fingerprints."""

from __future__ import annotations

import builtins

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Avalon import pyAvalonTools
from rdkit.Chem import AllChem, MACCSkeys, rdMHFPFingerprint, rdReducedGraphs

import pertscope as ps

SMILES = {
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "caffeine": "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "dabrafenib": "CC(C)(C)c1nc(c2cccc(c2F)NS(=O)(=O)c2c(F)cccc2F)c(s1)c1ccnc(N)n1",
    "ethanol": "CCO",
}


def bits(vector: DataStructs.ExplicitBitVect) -> list[int]:
    return [int(b) for b in vector.ToBitString()]


DIRECT = {
    "maccs": lambda m: bits(MACCSkeys.GenMACCSKeys(m)),
    "topological": lambda m: bits(Chem.RDKFingerprint(m)),
    "ecfp": lambda m: bits(AllChem.GetMorganFingerprintAsBitVect(m, 2, 2048)),
    "secfp": lambda m: bits(rdMHFPFingerprint.MHFPEncoder(2048, 42).EncodeSECFPMol(m)),
    "avalon": lambda m: bits(pyAvalonTools.GetAvalonFP(m, 2048)),
    "erg": lambda m: list(rdReducedGraphs.GetErGFingerprint(m)),
}


@pytest.mark.parametrize("kind", DIRECT)
def test_is_rdkits(kind):
    table = ps.tl.embed_fingerprints(SMILES, kind)
    assert list(table.index) == list(SMILES)
    assert set(table.dtypes) == {np.dtype(np.float32)}
    expected = np.array([DIRECT[kind](Chem.MolFromSmiles(s)) for s in SMILES.values()], np.float32)
    np.testing.assert_array_equal(table, expected)
    assert len(np.unique(table, axis=0)) == len(SMILES)


@pytest.mark.parametrize("kind", ["topological", "ecfp", "secfp", "avalon"])
def test_number_of_bits(kind):
    assert ps.tl.embed_fingerprints(SMILES, kind, n_bits=512).shape == (4, 512)


def test_radius():
    table = ps.tl.embed_fingerprints({"ethanol": "CCO"}, "ecfp", radius=0)
    assert table.to_numpy().sum() == 3  # CH3, CH2 and OH
    default = ps.tl.embed_fingerprints(SMILES, "secfp")
    pd.testing.assert_frame_equal(default, ps.tl.embed_fingerprints(SMILES, "secfp", radius=3))


@pytest.mark.parametrize("bad", ["not a molecule", "C1CC", "", None, np.nan, "-666"])
def test_unknown_smiles_are_listed(bad, capfd):
    smiles = {**SMILES, "odd": bad}
    with pytest.raises(ValueError, match=r"1 of 5 compound\(s\) have no SMILES .* 'odd'"):
        ps.tl.embed_fingerprints(smiles, "maccs")
    with pytest.warns(UserWarning, match=r"1 name\(s\) get no row, RDKit .*: 'odd'"):
        table = ps.tl.embed_fingerprints(smiles, "maccs", unknown="leave_out")
    pd.testing.assert_frame_equal(table, ps.tl.embed_fingerprints(SMILES, "maccs"))
    assert capfd.readouterr().err == ""


def test_nothing_known_is_refused():
    with pytest.raises(ValueError, match="1 of 1 compound"):
        ps.tl.embed_fingerprints({"odd": "?"}, unknown="leave_out")
    with pytest.raises(ValueError, match="empty"):
        ps.tl.embed_fingerprints({})


def test_one_molecule_under_two_names():
    with pytest.warns(UserWarning, match="1 molecule.*'ethanol = alcohol'"):
        table = ps.tl.embed_fingerprints({**SMILES, "alcohol": "OCC"}, "maccs")
    assert len(table) == 5


def test_a_series_and_names_that_are_twice_in_it():
    series = pd.Series(SMILES)
    expected = ps.tl.embed_fingerprints(SMILES, "maccs")
    pd.testing.assert_frame_equal(ps.tl.embed_fingerprints(series, "maccs"), expected)
    with pytest.raises(ValueError, match="occur more than once: 'ethanol'"):
        ps.tl.embed_fingerprints(pd.concat([series, series.iloc[-1:]]))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"kind": "morgan"}, "must be one of"),
        ({"unknown": "drop"}, "must be one of"),
        ({"n_bits": 0}, "`n_bits`=0"),
        ({"radius": -1}, "`radius`=-1"),
        ({"kind": "maccs", "radius": 2}, "goes with ecfp and secfp"),
    ],
)
def test_refuses(arguments, match):
    with pytest.raises(ValueError, match=match):
        ps.tl.embed_fingerprints(SMILES, **arguments)


def test_says_how_to_install_rdkit(monkeypatch):
    load = builtins.__import__

    def without_rdkit(name, *args, **kwargs):
        if name.partition(".")[0] == "rdkit":
            raise ImportError(name)
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_rdkit)
    with pytest.raises(ImportError, match=r"pip install 'pertscope\[chem\]'"):
        ps.tl.embed_fingerprints(SMILES)


def test_real_compounds(data_dir):
    """Compounds of sci-Plex: RDKit understands all but those without a structure."""
    path = data_dir / "drug_smiles" / "trapnell_drugs_smiles.csv"
    if not path.is_file():
        pytest.skip(f"no real data: {path} is not there")
    rows = pd.read_csv(path, header=None, names=["name", "smiles", "pathway"], index_col="name")
    rows = rows[~rows.index.duplicated()]
    table = ps.tl.embed_fingerprints(rows["smiles"])
    assert len(table) == len(rows)
    assert 20 < table.to_numpy().sum(axis=1).mean() < 100


def test_real_wells(data_dir, capsys):
    """Every compound of the L1000 wells gets a vector in their screen."""
    path = data_dir / "prnet_l1000" / "demo.h5ad"
    if not path.is_file():
        pytest.skip(f"no real data: {path} is not there")
    adata = ad.read_h5ad(path)
    is_control = adata.obs["control"].astype(int) == 1
    control = str(adata.obs.loc[is_control, "condition"].iloc[0])
    wells = adata.obs[~is_control].drop_duplicates("condition")
    smiles = dict(zip(wells["condition"].astype(str), wells["SMILES"].astype(str), strict=True))
    ps.pp.register(adata, perturbation_key="condition", control=control, combination_separator=None)
    capsys.readouterr()
    ps.pp.add_perturbation_embedding(adata, ps.tl.embed_fingerprints(smiles, "maccs"), "maccs")
    assert "maccs: 349 of 349 perturbations have a vector" in capsys.readouterr().out
