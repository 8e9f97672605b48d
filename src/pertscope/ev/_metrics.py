"""The registry of metrics."""

from __future__ import annotations

import math

from pertscope._core import distances
from pertscope._core.registry import Metric

PERTURBENCH = "Wu et al., PerturBench (2024), section 4"
ANY, CORRELATION = (0.0, math.inf), (-1.0, 1.0)

ERROR_METRICS: dict[str, Metric] = {
    "rmse": Metric(distances.rmse, False, ANY, "means", PERTURBENCH),
    "mse": Metric(distances.mse, False, ANY, "means", PERTURBENCH),
    "mae": Metric(distances.mae, False, ANY, "means", PERTURBENCH),
    "l2": Metric(distances.l2, False, ANY, "means", PERTURBENCH),
    "cosine": Metric(distances.cosine, True, CORRELATION, "means", PERTURBENCH),
    "pearson": Metric(distances.pearson, True, CORRELATION, "means", PERTURBENCH),
    "spearman": Metric(distances.spearman, True, CORRELATION, "means", PERTURBENCH),
    "r2": Metric(distances.r2, True, (-math.inf, 1.0), "means", PERTURBENCH),
}
