"""Names that benchmarks share."""

BASELINES = ("no_change", "mean_effect", "additive", "bilinear")
