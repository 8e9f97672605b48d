"""Tables of image profiles: files of every kind, several plates, what is no table."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import pertscope as ps


def plate(name: str, *, n: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(len(name))
    return pd.DataFrame(
        {
            "Metadata_Plate": name,
            "Metadata_Well": [f"A{i}" for i in range(n)],
            "Metadata_drug": ["DMSO", None, "x", "y"][:n],
            "Metadata_dose": [0.0, 1.0, np.nan, 3.0][:n],
            "Cells_Area": rng.normal(size=n),
            "Nuclei_Count": np.arange(n),
        }
    )


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "parquet"])
def test_one_file(kind, tmp_path) -> None:
    path, table = tmp_path / f"p.{kind}", plate("P1")
    if kind == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    for given in (path, str(path), [path]):
        adata = ps.datasets.read_cell_painting(given)
        assert adata.var_names.tolist() == ["Cells_Area", "Nuclei_Count"]
        assert adata.obs_names.tolist() == ["P1_A0", "P1_A1", "P1_A2", "P1_A3"]
        assert adata.X.dtype == np.float32
        np.testing.assert_allclose(adata.X, table.iloc[:, 4:], rtol=1e-6)
        assert adata.obs.columns.tolist() == table.columns[:4].tolist()
        assert adata.obs["Metadata_drug"].isna().tolist() == [False, True, False, False]
        np.testing.assert_array_equal(adata.obs["Metadata_dose"], table["Metadata_dose"])


def test_plates_with_other_features_and_types(tmp_path) -> None:
    one, two = plate("P1"), plate("P2").rename(columns={"Nuclei_Count": "Nuclei_Other"})
    two["Metadata_drug"] = np.nan  # a column of text on the other plate
    two["Metadata_dose"] = "high"
    paths = [tmp_path / "1.csv", tmp_path / "2.csv"]
    for table, path in zip((one, two), paths, strict=True):
        table.to_csv(path, index=False)
    with pytest.warns(UserWarning, match=r"2 feature\(s\) are not in every file .*'Nuclei_Count'"):
        adata = ps.datasets.read_cell_painting(paths)
    assert adata.shape == (8, 1)
    assert adata.obs["Metadata_dose"].dropna().tolist() == ["0.0", "1.0", "3.0", *["high"] * 4]
    adata.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    pd.testing.assert_frame_equal(again.obs, adata.obs)


def test_labels_stay_as_they_are_written(tmp_path) -> None:
    first = "001,A1,None,1,NA,1,\n001,A2,NA,,0.5,nan,\n"
    second = "002,A1,nan,a,10,NA,\n002,A2,,1,,2,\n"
    paths = [tmp_path / "1.csv", tmp_path / "2.csv"]
    header = ",".join(f"Metadata_{c}" for c in ("Plate", "Well", "drug", "mark", "mg_per_ml"))
    for path, rows in zip(paths, (first, second), strict=True):
        path.write_text(f"{header},Cells_Area,Metadata_none\n{rows}")
    adata = ps.datasets.read_cell_painting(paths)
    obs = adata.obs
    assert adata.obs_names.tolist() == ["001_A1", "001_A2", "002_A1", "002_A2"]
    assert obs["Metadata_Plate"].tolist() == ["001", "001", "002", "002"]
    assert obs["Metadata_drug"].dropna().tolist() == ["None", "NA", "nan"]
    assert obs["Metadata_mark"].cat.categories.tolist() == ["1", "a"]
    np.testing.assert_array_equal(obs["Metadata_mg_per_ml"], [np.nan, 0.5, 10, np.nan])
    assert obs["Metadata_none"].isna().all()
    np.testing.assert_array_equal(adata.X[:, 0], np.float32([1, np.nan, np.nan, 2]))
    adata.write_h5ad(tmp_path / "a.h5ad")
    pd.testing.assert_frame_equal(ad.read_h5ad(tmp_path / "a.h5ad").obs, obs)


def test_names_that_are_not_unique_give_numbers(tmp_path) -> None:
    table = plate("P1")
    table["Metadata_Well"] = "A1"
    table.to_csv(tmp_path / "p.csv", index=False)
    assert ps.datasets.read_cell_painting(tmp_path / "p.csv").obs_names.tolist() == [*"0123"]
    own = table.rename(columns=lambda c: c.replace("Metadata_", "meta."))
    own.to_csv(tmp_path / "p.csv", index=False)
    adata = ps.datasets.read_cell_painting(tmp_path / "p.csv", metadata_prefix="meta.")
    assert adata.obs.columns[0] == "meta.Plate"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.iloc[:, 4:], "has no column Metadata_"),
        (lambda t: t.iloc[:, :4], "has no feature"),
        (lambda t: t.assign(Cells_Area="big"), r"1 feature\(s\) are not numeric: 'Cells_Area'"),
    ],
)
def test_tables_that_are_none(change, match, tmp_path) -> None:
    change(plate("P1")).to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(ValueError, match=match):
        ps.datasets.read_cell_painting(tmp_path / "p.csv")


def test_files_that_are_none(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file"):
        ps.datasets.read_cell_painting(tmp_path / "no.csv")
    with pytest.raises(ValueError, match="names no file"):
        ps.datasets.read_cell_painting([])
    (tmp_path / "p.xlsx").touch()
    with pytest.raises(ValueError, match=r"read csv, tsv or parquet, not '\.xlsx'"):
        ps.datasets.read_cell_painting(tmp_path / "p.xlsx")
    plate("P1").iloc[:, :5].to_csv(tmp_path / "1.csv", index=False)
    plate("P2").drop(columns="Cells_Area").to_csv(tmp_path / "2.csv", index=False)
    with pytest.raises(ValueError, match="the 2 files share no feature"):
        ps.datasets.read_cell_painting([tmp_path / "1.csv", tmp_path / "2.csv"])


def test_cpjump1(data_dir) -> None:
    files = sorted((data_dir / "cpjump1_compound_7plates").glob("BR*.csv.gz"))
    if not files:
        pytest.skip(f"no real data: cpjump1_compound_7plates is not in {data_dir}")
    adata = ps.datasets.read_cell_painting(files)
    assert adata.shape == (2688, 904)
    assert adata.obs_names[0] == "BR00117010_A01"
    assert np.isfinite(adata.X).all()
    adata.obs["compound"] = adata.obs["Metadata_broad_sample"].astype(object).fillna("DMSO")
    ps.pp.register(
        adata,
        perturbation_key="compound",
        control="DMSO",
        batch_key="Metadata_Plate",
        combination_separator=None,
    )
    ps.pp.sphere(adata, epsilon=1e-2)
    profiles = ps.pp.aggregate(adata, "compound", use_rep="X_sphere", method="median")
    assert profiles.shape == (307, 904)
    assert profiles.obs["n_cells"].sum() == 2688
