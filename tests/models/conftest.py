from __future__ import annotations

import numba
import pytest
import torch


@pytest.fixture(scope="package", autouse=True)
def _one_thread():
    """Tiny networks in one thread: where cores are busy, two wait for each other most of the time.

    Numba as well, because it sets OpenMP's number of threads, which is torch's.
    """
    before = numba.get_num_threads(), torch.get_num_threads()
    numba.set_num_threads(1)
    torch.set_num_threads(1)
    yield
    numba.set_num_threads(before[0])
    torch.set_num_threads(before[1])
