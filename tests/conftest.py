"""Fixtures that any test may use."""

from __future__ import annotations

import functools
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable

os.environ.setdefault("MPLBACKEND", "Agg")  # read when matplotlib is first imported

# a shell starts what runs in the background deaf to Ctrl-C, which tests press
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# compilation by numba counts as time of the first example, hence no deadline
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

BESIDE_THE_REPOSITORY = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder with real screens; the test is skipped where there is none."""
    folder = Path(os.environ.get("PERTSCOPE_DATA", BESIDE_THE_REPOSITORY))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is no folder (set PERTSCOPE_DATA to one)")
    return folder


@pytest.fixture(scope="session")
def _read_screen(data_dir: Path) -> Callable[[str], ad.AnnData]:
    @functools.cache
    def read(name: str) -> ad.AnnData:
        path = data_dir / name
        if not path.is_file():
            pytest.skip(f"no real data: {name} is not in {data_dir}")
        return ad.read_h5ad(path)

    return read


@pytest.fixture
def devel(_read_screen: Callable[[str], ad.AnnData]) -> ad.AnnData:
    """PerturBench's devel screen, not registered: 5,961 cells x 500 genes, log-normalised CSR.

    Columns `condition` (control `control`, doubles `A+B`) and `cell_type`.
    """
    return _read_screen("perturbench_devel/devel.h5ad").copy()


@pytest.fixture
def papalexi(_read_screen: Callable[[str], ad.AnnData]) -> ad.AnnData:
    """ECCITE-seq of THP-1, not registered: 20,729 cells x 299 genes, raw UMI counts.

    Columns `perturbation` (control `non-targeting`) and `bio_rep` (3 batches).
    """
    return _read_screen("sceptre_papalexi_lowmoi/papalexi_lowmoi.h5ad").copy()


@pytest.fixture
def rng() -> np.random.Generator:
    """Same numbers in every test."""
    return np.random.default_rng(0)
