"""`pertscope bench` runs what a file of tasks says, and prints the table."""

from __future__ import annotations

import yaml
from tests.bench.small import TASK

import pertscope as ps
from pertscope.cli import main


def test_bench(tmp_path, capsys) -> None:
    TASK["dataset"].write_h5ad(tmp_path / "mine.h5ad")
    screen = {"covariate_keys": ["cell_type"]}
    task = TASK | {"asks": "?", "dataset": "mine.h5ad", "screen": screen}
    name = task.pop("name")
    (tmp_path / "tasks.yaml").write_text(yaml.safe_dump({name: task}), encoding="utf-8")
    folder = str(tmp_path / "results")
    asked = ["bench", str(tmp_path / "tasks.yaml"), "--models", "additive", "no_change"]
    assert main([*asked, "--seeds", "2", "-o", folder]) == 0
    out = capsys.readouterr().out
    assert out.strip() == ps.bench.to_text(folder)
    assert set(ps.bench.read(folder)["seed"]) == {0, 1}
    assert main(["bench", "norman19-combo", "--models", "additive", "-o", folder]) == 2
    assert "unknown task 'norman19-combo'; nearest" in capsys.readouterr().err
