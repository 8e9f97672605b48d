"""A tiny task, and models that count how often they are fitted."""

from __future__ import annotations

from collections import Counter
from functools import wraps
from typing import TYPE_CHECKING, Any

from tests.helpers import make_screen

import pertscope as ps

if TYPE_CHECKING:
    import pytest

TASK: dict[str, Any] = {
    "name": "tiny",
    "dataset": make_screen(list("ABCDEFGHIJKL"), contexts="xy", n_cells=8, n_genes=20),
    "split": {"split_transfer": {"max_fraction": 0.5, "max_held_out": 1}},
    "metrics": ["rmse_mean", "cosine_effect"],
}


def count_fits(monkeypatch: pytest.MonkeyPatch, *names: str) -> Counter[str]:
    """How often each model is fitted from now on."""
    counts: Counter[str] = Counter()

    def counted(name: str) -> None:
        fit = getattr(ps.tl, f"fit_{name}")

        @wraps(fit)
        def fit_and_count(adata: Any, *, key_added: str, **settings: Any) -> Any:
            counts[name] += 1
            return fit(adata, key_added=key_added, **settings)

        monkeypatch.setattr(ps.tl, f"fit_{name}", fit_and_count)

    for name in names:
        counted(name)
    return counts
