"""Known relationships: each pair once, files checked, licences shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pandas as pd
import pooch
import pytest

from pertscope.datasets import relationships
from pertscope.datasets._relationships import read_sources

if TYPE_CHECKING:
    from pathlib import Path

OF_FILE = {"reactome": "Reactome.txt", "humap": "HuMAP.txt", "string": "StringDB.txt"}


@pytest.fixture(autouse=True)
def _no_internet(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: pooch.HTTPDownloader, url: str, *args: Any, **kwargs: Any) -> None:
        raise OSError(f"no route to {url}")

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", refuse)


def test_sample() -> None:
    table = relationships("sample")
    pairs = ["g0 g1", "g1 g2", "g2 g3", "g3 g4", "g5 g6", "g7 g8", "g7 g9"]
    assert table.agg(" ".join, axis=1).tolist() == pairs
    assert table.attrs["license"] == "CC0 1.0"


@pytest.mark.parametrize("name", read_sources())
def test_sources_are_well_formed(name: str) -> None:
    source = read_sources()[name]
    assert re.fullmatch("sha256:[0-9a-f]{64}", source.checksum or "")
    assert source.url.startswith("https://")
    assert source.url.endswith(source.file)
    assert ("not for commercial use" in source.license) == (name in {"corum", "signor"})


@pytest.mark.parametrize("name", OF_FILE)
def test_public_files(data_dir: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The files at hand have the registry's checksums; pairs are those that sets make of them."""
    folder = data_dir / "gene_relationships"
    table = relationships(name, cache=folder)
    raw = pd.read_csv(folder / OF_FILE[name], keep_default_na=False)
    expected = {tuple(sorted(p)) for p in raw.itertuples(index=False) if p[0] != p[1]}
    assert list(table.itertuples(index=False, name=None)) == sorted(expected)
    out = capsys.readouterr().out
    assert f"{name}: {len(table):,} pairs, licence CC" in out
    assert table.attrs["name"] == name
    by_path = relationships(folder / OF_FILE[name])
    pd.testing.assert_frame_equal(by_path, table)
    assert by_path.attrs["license"] == "not known"


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match=r"(?s)'corum' could not be downloaded.*CORUM.txt"):
        relationships("corum", cache=tmp_path)
    (tmp_path / "SIGNOR.txt").write_text("entity1,entity2\nA,B\n")
    with pytest.raises(ValueError, match="damaged, incomplete or another version"):
        relationships("signor", cache=tmp_path)
    with pytest.raises(KeyError, match=r"no relationships 'strng'.*nearest: 'string'"):
        relationships("strng")
    path = tmp_path / "own.csv"
    path.write_text("entity1,gene\nA,B\n")
    with pytest.raises(KeyError, match=r"own.csv has no column 'entity2'.*'entity1'"):
        relationships(path)
    path.write_text("entity1,entity2\nA,\nB,C\n")
    with pytest.raises(ValueError, match=r"own.csv lacks a name in 1 row"):
        relationships(path)
    path.write_text("entity1,entity2\nNA,B\n")  # a gene may be called so
    assert relationships(path)["entity2"].tolist() == ["NA"]
    path.write_text("entity1,entity2\n")
    assert relationships(path).shape == (0, 2)
