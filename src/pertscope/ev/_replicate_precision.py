"""Do replicates find each other before controls, and before other perturbations?"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from pertscope.ev._average_precision import Queries, average_precision, group_means


def replicate_precision(
    x: np.ndarray, labels: np.ndarray, batch: np.ndarray, control: int, *, among_controls: bool
) -> tuple[float, int]:
    """Mean average precision of each label, averaged over labels; how many points are left out.

    Every point that is no control ranks the points of its label, in any batch, among those of its
    own batch that are controls, or that have another label and are none, by their cosine.

    Parameters
    ----------
    x
        Points, ``(n, d)``.
    labels, batch
        Codes of each point without gaps, int64 ``(n,)``.
    control
        Code of the controls; -1 for none.
    among_controls
        Whether the others are the controls.

    Returns
    -------
    The mean, NaN where nothing can be ranked, and the number of points that have nothing to be
    ranked among or no other of their label.

    References
    ----------
    Arevalo et al., Nature Communications 15 (2024): mAP (controls) and mAP (nonrep).
    """
    is_control = labels == control
    others = is_control if among_controls else ~is_control
    order = np.argsort(labels, kind="stable")
    members = order[~is_control[order]]
    start = np.append(0, np.cumsum(np.bincount(labels[members], minlength=int(labels.max()) + 1)))
    queries = Queries(members, start, np.empty((len(x), 0), np.int64))
    asked = batch[members]
    candidates = [
        (np.flatnonzero(asked == b), np.flatnonzero(others & (batch == b)))
        for b in np.unique(asked)
    ]
    own = sp.csr_array((np.ones(len(x), np.int32), (np.arange(len(x)), labels)))
    found = average_precision(x, queries, candidates, labels=own)
    ranked = (found.n_positives > 0) & (found.n_negatives > 0)
    of_label = group_means(queries, np.where(ranked, found.value, np.nan))
    known = of_label[~np.isnan(of_label)]
    return float(known.mean()) if len(known) else np.nan, int(np.count_nonzero(~ranked))
