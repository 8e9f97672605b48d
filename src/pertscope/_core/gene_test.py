"""What a test of every gene in every group finds, whichever test it was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class GeneTest:
    """Results of tests of groups against their references, each float64 ``(groups, genes)``.

    Attributes
    ----------
    score
        Test statistic: t, or z of the rank sum; positive where the group is above its reference.
    p_value
        Two-sided p-values.
    p_adjusted
        P-values adjusted by Benjamini and Hochberg within each group.
    """

    score: np.ndarray
    p_value: np.ndarray
    p_adjusted: np.ndarray

    def __getitem__(self, groups: np.ndarray) -> GeneTest:
        """Results of some groups."""
        return GeneTest(self.score[groups], self.p_value[groups], self.p_adjusted[groups])


def adjust_p_values(p_values: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg adjusted p-values along the last axis."""
    m = p_values.shape[-1]
    order = np.argsort(p_values, axis=-1)
    scaled = np.take_along_axis(p_values, order, axis=-1) * (m / np.arange(1, m + 1))
    scaled = np.minimum.accumulate(scaled[..., ::-1], axis=-1)[..., ::-1]
    adjusted = np.empty_like(scaled)
    np.put_along_axis(adjusted, order, np.minimum(scaled, 1.0), axis=-1)
    return adjusted
