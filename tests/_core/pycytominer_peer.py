"""pycytominer as an oracle, without the pandas option that importing it sets for everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    import numpy as np

with pd.option_context("mode.copy_on_write", pd.options.mode.copy_on_write):
    from pycytominer import aggregate, consensus
    from pycytominer.cyto_utils.modz import modz_base
    from pycytominer.operations import correlation_threshold, variance_threshold
    from pycytominer.operations.transform import RobustMAD, Spherize

__all__ = [
    "RobustMAD",
    "aggregate",
    "consensus",
    "correlation_threshold",
    "modz_base",
    "sphere",
    "variance_threshold",
]


def sphere(controls: np.ndarray, x: np.ndarray, method: str, epsilon: float) -> Any:
    """`x`, sphered by pycytominer on `controls`."""
    peer = Spherize(method=method, epsilon=epsilon, return_numpy=True)
    return peer.fit(pd.DataFrame(controls)).transform(pd.DataFrame(x))
