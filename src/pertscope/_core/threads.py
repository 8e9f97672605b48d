"""Many independent calls at once, where the work is done outside Python."""

from __future__ import annotations

import sys
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from threadpoolctl import ThreadpoolController

AHEAD = 4
"""Calls per thread whose arguments are made before they are needed."""


def in_threads(function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> list[Any]:
    """``[function(*a) for a in arguments]``, as many at once as numba has threads.

    Each call has one thread of BLAS: threads within threads would wait for each other. Arguments
    are made as they are needed, a few ahead, so that they need not fit memory together.
    """
    from concurrent.futures import Future, ThreadPoolExecutor

    import numba

    n = numba.get_num_threads()
    found: list[Any] = []
    running: deque[Future[Any]] = deque()
    with _controller(len(sys.modules)).limit(limits=1), ThreadPoolExecutor(n) as pool:
        for each in arguments:
            running.append(pool.submit(function, *each))
            if len(running) > AHEAD * n:
                found.append(running.popleft().result())
        found += [call.result() for call in running]
    return found


@lru_cache(maxsize=1)
def _controller(_n_modules: int) -> ThreadpoolController:
    """What sets the threads of all loaded libraries: searched again when modules were imported."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
