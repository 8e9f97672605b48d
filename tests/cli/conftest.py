"""Files of a small screen, made once, and the command run beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import pytest
from tests.cli.files import write_all

from pertscope.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    import anndata as ad


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="session")
def judged(folder) -> ad.AnnData:
    """What the files hold, in memory."""
    return write_all(folder)


@pytest.fixture
def run(judged, folder, monkeypatch, capsys):
    """Run the command in the folder of the files; exit code, stdout and stderr."""
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["evaluate", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    plt.close("all")  # those of tests before
    yield run
    assert not plt.get_fignums(), "figures were left open"
