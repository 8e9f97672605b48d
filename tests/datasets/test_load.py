"""load and names: the shipped registry is well formed, files are checked, columns are renamed."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pooch
import pytest
import scipy.sparse as sp
import yaml

from pertscope.datasets import load, names
from pertscope.datasets._registry import Entry, read_registry

URL = "https://example.org/tiny.h5ad"


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "description": "Ten cells.",
        "citation": "Nobody 2000",
        "doi": None,
        "license": "CC0",
        "url": URL,
        "file": "tiny.h5ad",
        "checksum": None,
        "size": None,
        "shape": [6, 3],
        "matrix": "counts",
        "screen": {
            "perturbation_key": "perturbation",
            "control": "control",
            "covariate_keys": ["cell_type"],
            "batch_key": "lane",
            "combination_separator": "+",
        },
        "rules": [
            {"column": "perturbation", "map": {"NT": "control"}, "replace": {"_": "+"}},
            {"column": "cell_line", "to": "cell_type"},
        ],
    } | changes


@pytest.fixture
def screen() -> ad.AnnData:
    obs = pd.DataFrame(
        {
            "perturbation": pd.Categorical(["NT", "A", "B", "A_B", "NT", None]),
            "cell_line": ["x", "x", "y", "y", "y", "x"],
            "lane": [1, 1, 1, 2, 2, 2],
        },
        index=[f"c{i}" for i in range(6)],
    )
    x = sp.random_array((6, 3), density=0.6, format="csc", rng=np.random.default_rng(0))
    return ad.AnnData(x.astype(np.float32), obs=obs)


class Shelf:
    """A registry and a cache in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache"
        self.cache.mkdir()
        self.registry = folder / "registry.yaml"

    def put(self, adata: ad.AnnData, name: str = "tiny.h5ad") -> Path:
        path = self.cache / name
        adata.write_h5ad(path.with_suffix("") if path.suffix == ".gz" else path)
        if path.suffix == ".gz":
            path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))
            path.with_suffix("").unlink()
        return path

    def load(self, adata_entry: dict[str, Any], **arguments: Any) -> ad.AnnData:
        self.registry.write_text(yaml.safe_dump({"tiny": adata_entry}))
        return load("tiny", cache=self.cache, registry=self.registry, **arguments)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def checksum(path: Path, algorithm: str = "md5") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, path.read_bytes()).hexdigest()}"


@pytest.fixture(autouse=True)
def _no_internet(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: pooch.HTTPDownloader, url: str, *args: Any, **kwargs: Any) -> None:
        raise OSError(f"no route to {url}")

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", refuse)


# -- the shipped registry --------------------------------------------------------------------------


def test_names_are_sorted_and_hold_the_benchmark_screens() -> None:
    assert names() == sorted(names())
    six = {"norman19", "srivatsan20", "frangieh21", "jiang24", "mcfaline23", "op3"}
    assert six | {"papalexi21", "replogle22_k562_essential", "adamson16"} <= set(names())


@pytest.mark.parametrize("name", names())
def test_shipped_entries_are_well_formed(name: str) -> None:
    one = read_registry()[name]
    assert one.url.startswith("https://")
    assert one.file in one.url
    assert one.checksum is None or re.fullmatch(
        "md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", one.checksum
    )
    assert one.doi is None or re.fullmatch(r"10\.\d{4,}/\S+", one.doi)
    assert one.description
    assert one.citation
    assert one.license
    assert one.matrix in {"counts", "log1p_cp10k"}
    assert len(one.shape) == 2
    assert all(n is None or n > 0 for n in one.shape)
    assert one.size is None or one.size > 0
    assert set(one.screen) <= {
        "perturbation_key",
        "control",
        "covariate_keys",
        "batch_key",
        "dose_key",
        "combination_separator",
    }
    assert isinstance(one.screen["covariate_keys"], list)


def test_shipped_files_and_checksums_are_distinct() -> None:
    entries = read_registry().values()
    assert len({one.file for one in entries}) == len(entries)
    known = [one.checksum for one in entries if one.checksum]
    assert len(set(known)) == len(known)


LABELS = {
    "norman19": ({"perturbation": ["control", "AHR_KLF1"], "cell_line": "K562"}, "AHR+KLF1"),
    "papalexi21": ({"perturbation": ["control", "ATF2g1"]}, "ATF2"),
    "replogle22_rpe1": ({"perturbation": ["non-targeting", "A1"], "cell_line": "RPE1"}, "A1"),
    "op3": ({"SMILES": ["C[S+](C)[O-]", "C[N+]"], "cell_type": "NK"}, "C[N+]"),
    "adamson16": ({"perturbation": ["63(mod)_pBA580", "OST4_pDS353"]}, "OST4"),
    "adamson16_pilot": ({"perturbation": ["62(mod)_pBA581", "SPI1_pDS255"]}, "SPI1"),
    "srivatsan20": ({"perturbation": ["control", "(+)-JQ1"], "cell_line": "A549"}, "JQ1"),
    "frangieh21": ({"perturbation": ["control", "STAT1"], "perturbation_2": "Control"}, "STAT1"),
    "jiang24": ({"condition": ["control", "JAK1"], "cell_type": "a", "treatment": "b"}, "JAK1"),
}


@pytest.mark.parametrize("name", sorted(LABELS))
def test_shipped_rules_reach_the_promised_keys(name: str, tmp_path: Path) -> None:
    """Labels as the files have them end as the labels that `screen` promises."""
    columns, expected = LABELS[name]
    one = read_registry()[name]
    obs = pd.DataFrame(columns, index=["0", "1"]).assign(
        gemgroup=1, batch=1, replicate="rep1", dose_value=10.0
    )
    path = tmp_path / one.file.removesuffix(".gz")
    ad.AnnData(np.ones((2, 2), np.float32), obs=obs).write_h5ad(path)
    registry = tmp_path / "registry.yaml"
    values = {k: getattr(one, k) for k in Entry.__dataclass_fields__ if k != "name"}
    values |= {"file": path.name, "checksum": checksum(path)}
    registry.write_text(yaml.safe_dump({name: values}))
    adata = load(name, cache=tmp_path, registry=registry)
    keys = adata.uns["screen_keys"]
    assert list(adata.obs[keys["perturbation_key"]]) == ["control", expected]
    assert set(keys["covariate_keys"]) <= set(adata.obs)
    if keys["combination_separator"] is None:
        assert name == "op3"


# -- loading ---------------------------------------------------------------------------------------


def test_cached_file_is_loaded_and_renamed(shelf: Shelf, screen: ad.AnnData) -> None:
    path = shelf.put(screen)
    adata = shelf.load(entry(checksum=checksum(path)))
    assert list(adata.obs["perturbation"].astype(object).iloc[:5]) == [
        "control",
        "A",
        "B",
        "A+B",
        "control",
    ]
    assert adata.obs["perturbation"].isna().tolist() == [False] * 5 + [True]
    assert list(adata.obs["perturbation_original"].iloc[:4]) == ["NT", "A", "B", "A_B"]
    assert list(adata.obs["cell_type"]) == list(screen.obs["cell_line"])
    assert list(adata.obs["cell_line"]) == list(screen.obs["cell_line"])
    assert adata.X.format == "csr"
    np.testing.assert_array_equal(adata.X.toarray(), screen.X.toarray())
    assert adata.uns["screen_keys"] == {
        "perturbation_key": "perturbation",
        "control": "control",
        "covariate_keys": ["cell_type"],
        "batch_key": "lane",
        "combination_separator": "+",
    }
    assert adata.uns["dataset"]["citation"] == "Nobody 2000"
    assert adata.uns["dataset"]["checksum"] == checksum(path)


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_wrong_checksum_names_both(shelf: Shelf, screen: ad.AnnData, algorithm: str) -> None:
    path = shelf.put(screen)
    right = checksum(path, algorithm)
    wrong = f"{algorithm}:{hashlib.new(algorithm, b'other').hexdigest()}"
    with pytest.raises(ValueError, match="damaged, incomplete or another version") as caught:
        shelf.load(entry(checksum=wrong))
    assert right in str(caught.value)
    assert wrong in str(caught.value)
    assert str(path) in str(caught.value)
    assert path.exists()


def test_missing_checksum_warns_with_the_hash(shelf: Shelf, screen: ad.AnnData) -> None:
    path = shelf.put(screen)
    with pytest.warns(UserWarning, match="not verified") as caught:
        shelf.load(entry())
    assert checksum(path, "sha256") in str(caught[0].message)
    assert caught[0].filename == __file__


def test_offline_error_says_where_to_put_the_file(shelf: Shelf) -> None:
    with pytest.raises(ConnectionError) as caught:
        shelf.load(entry(checksum="md5:" + 32 * "0"))
    message = str(caught.value)
    assert URL in message
    assert str(shelf.cache / "tiny.h5ad") in message
    assert "PERTSCOPE_CACHE" in message
    assert not list(shelf.cache.iterdir())


def test_download_is_checked_and_kept(
    shelf: Shelf, screen: ad.AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = shelf.put(screen)
    content = source.read_bytes()
    source.unlink()
    asked = []

    def serve(self: pooch.HTTPDownloader, url: str, output_file: str, *args: Any) -> None:
        asked.append(url)
        Path(output_file).write_bytes(content)

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", serve)
    md5 = f"md5:{hashlib.md5(content).hexdigest()}"
    for _ in range(2):
        assert shelf.load(entry(checksum=md5), progress=False).shape == (6, 3)
    assert asked == [URL]
    assert [path.name for path in shelf.cache.iterdir()] == ["tiny.h5ad"]


def test_environment_variable_sets_the_cache(
    shelf: Shelf, screen: ad.AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shelf.put(screen)
    shelf.registry.write_text(yaml.safe_dump({"tiny": entry(checksum=checksum(path))}))
    monkeypatch.setenv("PERTSCOPE_CACHE", str(shelf.cache))
    assert load("tiny", registry=shelf.registry).n_obs == 6


def test_packed_file_is_verified_then_unpacked(shelf: Shelf, screen: ad.AnnData) -> None:
    path = shelf.put(screen, "tiny.h5ad.gz")
    given = entry(file="tiny.h5ad.gz", checksum=checksum(path, "sha256"))
    assert shelf.load(given).n_obs == 6
    unpacked = shelf.cache / "tiny.h5ad"
    stamp = unpacked.stat().st_mtime_ns
    assert shelf.load(given).n_obs == 6
    assert unpacked.stat().st_mtime_ns == stamp
    path.unlink()
    with pytest.warns(UserWarning, match="used as it is") as caught:
        shelf.load(given)
    assert caught[0].filename == __file__


def test_cells_are_kept_and_dropped(shelf: Shelf, screen: ad.AnnData) -> None:
    path = shelf.put(screen)
    rules = [
        {"column": "cell_line", "to": "cell_type", "map": {"x": "X"}},
        {"column": "perturbation", "drop": [None, "A_B"]},
        {"column": "cell_type", "keep": ["y", "X"]},
    ]
    adata = shelf.load(entry(checksum=checksum(path), rules=rules))
    assert list(adata.obs_names) == ["c0", "c1", "c2", "c4"]
    assert not adata.is_view
    np.testing.assert_array_equal(adata.X.toarray(), screen.X.toarray()[[0, 1, 2, 4]])
    assert "perturbation_original" not in adata.obs


def test_backed(shelf: Shelf, screen: ad.AnnData) -> None:
    path = shelf.put(screen)
    before = path.read_bytes()
    adata = shelf.load(entry(checksum=checksum(path)), backed=True)
    assert adata.isbacked
    assert adata.shape == screen.shape
    assert "A+B" in set(adata.obs["perturbation"])
    assert adata.uns["screen_keys"]["control"] == "control"
    np.testing.assert_array_equal(adata.to_memory().X.toarray(), screen.X.toarray())
    adata.file.close()
    assert path.read_bytes() == before


def test_backed_refuses_to_drop_cells(shelf: Shelf, screen: ad.AnnData) -> None:
    path = shelf.put(screen)
    rules = [*entry()["rules"], {"column": "perturbation", "drop": [None]}]
    with pytest.raises(ValueError, match=r"without 1 of its cells.*backed=False"):
        shelf.load(entry(checksum=checksum(path), rules=rules), backed=True)


def test_patterns_relabel(shelf: Shelf, screen: ad.AnnData) -> None:
    path = shelf.put(screen)
    rules = [{"column": "cell_line", "to": "cell_type", "pattern": {"^(x|y)$": r"line \1"}}]
    adata = shelf.load(entry(checksum=checksum(path), rules=rules))
    assert set(adata.obs["cell_type"]) == {"line x", "line y"}


def test_missing_columns(shelf: Shelf, screen: ad.AnnData) -> None:
    del screen.obs["lane"]
    path = shelf.put(screen)
    with pytest.warns(UserWarning, match="no column 'lane'; `batch_key` is left out") as caught:
        adata = shelf.load(entry(checksum=checksum(path)))
    assert caught[0].filename == __file__
    assert "batch_key" not in adata.uns["screen_keys"]
    del screen.obs["cell_line"]
    path = shelf.put(screen)
    with pytest.raises(KeyError, match=r"'tiny'.*no column 'cell_line' in obs; columns: perturb"):
        shelf.load(entry(checksum=checksum(path)))
    with pytest.raises(KeyError, match=r"no column .*cell_type"):
        shelf.load(entry(checksum=checksum(path), rules=[]))


def test_loaded_screen_round_trips(shelf: Shelf, screen: ad.AnnData, tmp_path: Path) -> None:
    path = shelf.put(screen)
    adata = shelf.load(entry(checksum=checksum(path)))
    adata.write_h5ad(tmp_path / "back.h5ad")
    back = ad.read_h5ad(tmp_path / "back.h5ad")
    assert back.uns["dataset"] == adata.uns["dataset"]
    assert list(back.uns["screen_keys"]["covariate_keys"]) == ["cell_type"]
    pd.testing.assert_frame_equal(back.obs, adata.obs)


# -- errors ----------------------------------------------------------------------------------------


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(KeyError, match=r"unknown dataset 'Norman2019'.*did you mean 'norman19'"):
        load("Norman2019")
    with pytest.raises(KeyError, match="Known: adamson16, "):
        load("zzzzzzzz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "http://example.org/tiny.h5ad"}, "must start with https"),
        ({"checksum": "abc"}, "`checksum` must be md5"),
        ({"checksum": "md5:" + 64 * "0"}, "`checksum` must be md5"),
        ({"file": "../tiny.h5ad"}, "`file` must be a file name"),
        ({"file": "tiny.csv"}, "`file` must be a file name"),
        ({"screen": {"control": "c"}}, "`screen` lacks"),
        ({"licence": "CC0"}, r"unknown \['licence'\]"),
        ({"rules": [{"column": "lane", "rename": "x"}]}, r"unknown rule \['rename'\]"),
    ],
)
def test_malformed_entries(
    shelf: Shelf, screen: ad.AnnData, changes: dict[str, Any], message: str
) -> None:
    path = shelf.put(screen)
    given = entry(checksum=checksum(path)) | changes
    with pytest.raises(ValueError, match=message):
        shelf.load(given)


def test_registry_must_be_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "registry.yaml"
    path.write_text("- a\n")
    with pytest.raises(ValueError, match="must map dataset names"):
        names(registry=path)
    path.write_text(yaml.safe_dump({"tiny": {"url": URL}}))
    with pytest.raises(ValueError, match=r"'tiny' of the registry: missing .*checksum"):
        names(registry=path)
