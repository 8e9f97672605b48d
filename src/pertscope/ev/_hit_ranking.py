"""Do the strongest effects belong to the known hits?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope._core import keys
from pertscope._core.conditions import screen_conditions
from pertscope._core.messages import listed, nearest
from pertscope._core.representation import representation_of
from pertscope._core.screen import Screen, require_actual
from pertscope._core.threads import in_threads

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope._core.conditions import Conditions

EFFECT, RANK, IS_HIT, N_PROFILES = "effect", "rank", "is_hit", "n_profiles"
SUMMARY = "_summary"
CUTOFFS = (50, 100)


def hit_ranking(
    adata: AnnData,
    hit_key: str,
    use_rep: str | None = None,
    *,
    eps: float = 1e-5,
    key_added: str = "hit_ranking",
) -> None:
    """Rank perturbations by their distance from the controls, and look for the known hits.

    Profiles are whitened on the controls of the same covariates (the line): centred, rotated to the
    controls' principal components, divided by ``sqrt(eigenvalue + eps)``. The effect is the
    Wasserstein-1 distance between two distributions of Euclidean distances, those from the
    profiles of the perturbation to the controls and those between controls.

    Parameters
    ----------
    adata
        Registered screen of profiles, one row per well or image, say.
    hit_key
        Boolean column of ``.obs``: whether the perturbation is a hit in this line. It is the same
        in all rows of a perturbation; that of controls does not count.
    use_rep
        Key of ``.obsm`` that holds the profiles; by default the registered layer, which must then
        be dense.
    eps
        Added to the eigenvalues of the controls' covariance.
    key_added
        Key of the table of perturbations; that of lines has ``"_summary"`` after it.

    Returns
    -------
    ``None``. Writes ``.uns[key_added]``, a DataFrame with one row per perturbation and line: the
    covariates, ``perturbation`` (categorical), ``effect`` (float64), ``rank`` (int64, 1 for the
    strongest), ``is_hit`` (bool), ``n_profiles`` (int64); and ``.uns[key_added + "_summary"]``, one
    row per line: the covariates, ``n_perturbations``, ``n_hits`` (int64), ``recall_at_50``,
    ``recall_at_100`` (share of the hits among the strongest 50 and 100), ``auroc``, ``aupr``
    (average precision of the hits; float64, NaN where all or none are hits). Ties count as the
    mean over all orders of the tied.

    Raises
    ------
    KeyError
        If the screen is not registered, or a column or representation does not exist.
    ValueError
        If a line has less than three controls, `hit_key` is not boolean or differs within a
        perturbation, values are NaN or infinite, or `eps` is not positive.

    References
    ----------
    The IDR-0017 task of CHAMMI-75, on hits of Breinig et al., Molecular Systems Biology 11 (2015).

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=9, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> adata.obsm["X_dense"] = adata.X.toarray()
    >>> few = adata[::10].copy()
    >>> few.obs["hit"] = few.obs["perturbation"].isin(few.obs["perturbation"].cat.categories[:3])
    >>> ps.ev.hit_ranking(few, "hit", "X_dense")
    >>> few.uns["hit_ranking_summary"].columns[-4:].tolist()
    ['recall_at_50', 'recall_at_100', 'auroc', 'aupr']
    """
    keys.check_key(key_added)
    if not eps > 0:
        raise ValueError(f"`eps`={eps} must be positive.")
    screen = Screen.of(adata)
    conditions = screen_conditions(adata, screen)
    chosen = np.flatnonzero(~conditions.is_control)
    is_hit = _hits(adata.obs, conditions, hit_key)[chosen]
    x = representation_of(adata, use_rep)
    context, effect = conditions.context[chosen], np.empty(len(chosen))
    rank = np.empty(len(chosen), np.int64)
    lines = []
    for c in np.unique(context):
        here = np.flatnonzero(context == c)
        control = conditions.matched_controls(chosen[here[:1]])
        effect[here] = effects(
            [x[conditions.codes == i] for i in chosen[here]],
            x[conditions.codes == control],
            eps=eps,
            line="|".join(conditions.contexts[c]),
        )
        rank[here[np.argsort(-effect[here], kind="stable")]] = np.arange(1, len(here) + 1)
        lines.append((*conditions.contexts[c], *summary(effect[here], is_hit[here])))
    table = conditions.take(chosen).table.rename(
        columns={screen.perturbation_key: keys.PERTURBATION}
    )
    n_profiles = conditions.n_cells[chosen]
    table = table.astype("category").assign(
        **{EFFECT: effect, RANK: rank, IS_HIT: is_hit, N_PROFILES: n_profiles}
    )
    recalls = [f"recall_at_{k}" for k in CUTOFFS]
    columns = [*screen.covariate_keys, "n_perturbations", "n_hits", *recalls, "auroc", "aupr"]
    of_lines = pd.DataFrame(lines, columns=columns)
    for frame in (table, of_lines):
        frame.index = frame.index.astype(str)
    require_actual(adata)
    adata.uns[key_added] = table
    adata.uns[key_added + SUMMARY] = of_lines


def _hits(obs: pd.DataFrame, conditions: Conditions, hit_key: str) -> np.ndarray:
    """Whether each condition is a hit."""
    if hit_key not in obs.columns:
        raise KeyError(f"`.obs` has no column {hit_key!r}; {nearest(hit_key, obs.columns)}.")
    if obs[hit_key].dtype != bool:
        raise ValueError(
            f"`.obs[{hit_key!r}]` must be boolean, it is {obs[hit_key].dtype}: fill what is "
            "missing and convert it by `.astype(bool)`."
        )
    n_hits = np.bincount(conditions.codes, obs[hit_key].to_numpy(), len(conditions))
    mixed = (n_hits > 0) & (n_hits < conditions.n_cells) & ~conditions.is_control
    if mixed.any():
        raise ValueError(
            f"`.obs[{hit_key!r}]` differs between rows of {listed(conditions.index[mixed])}."
        )
    return n_hits > 0


def effects(
    treated: list[np.ndarray], controls: np.ndarray, *, eps: float, line: str = ""
) -> np.ndarray:
    """Wasserstein-1 distances between distances to controls and those between controls.

    `treated` holds profiles ``(n_i, d)``, `controls` is ``(m, d)``; float64 ``(len(treated),)``.
    """
    from scipy.spatial.distance import pdist

    if len(controls) < 3:
        raise ValueError(
            f"{line!r} has {len(controls)} control(s): at least 3 are needed to whiten by them."
        )
    controls = np.asarray(controls, dtype=np.float64)
    mean = controls.mean(axis=0)
    value, axes = np.linalg.eigh((controls - mean).T @ (controls - mean) / len(controls))
    whiten = axes / np.sqrt(np.maximum(value, 0) + eps)
    white = (controls - mean) @ whiten
    own = np.sort(pdist(white))
    jobs = [((profiles - mean) @ whiten, white, own) for profiles in treated]
    return np.array(in_threads(_effect, jobs))


def _effect(profiles: np.ndarray, controls: np.ndarray, own: np.ndarray) -> float:
    from scipy.spatial.distance import cdist

    across = np.sort(cdist(profiles, controls), axis=None)
    both = np.sort(np.concatenate([own, across]), kind="stable")  # merges two sorted runs
    between = both[:-1]
    share_own = np.searchsorted(own, between, side="right") / len(own)
    share_across = np.searchsorted(across, between, side="right") / len(across)
    return float(np.abs(share_own - share_across) @ np.diff(both))


def summary(effect: np.ndarray, is_hit: np.ndarray) -> tuple[float, ...]:
    """Numbers of perturbations and hits, recall at each cutoff, AUROC, average precision."""
    from scipy.stats import rankdata

    n, n_hits = len(effect), int(is_hit.sum())
    if n_hits in (0, n):
        return (n, n_hits, *[np.nan] * (len(CUTOFFS) + 2))
    recalls = [_expected_hits(effect, is_hit, k) / n_hits for k in CUTOFFS]
    above = rankdata(effect)[is_hit].sum() - n_hits * (n_hits + 1) / 2
    return n, n_hits, *recalls, above / (n_hits * (n - n_hits)), _average_precision(effect, is_hit)


def _expected_hits(effect: np.ndarray, is_hit: np.ndarray, k: int) -> float:
    """Hits among the strongest k, each order of tied effects being as likely."""
    if k >= len(effect):
        return float(is_hit.sum())
    edge = np.sort(effect)[-k]
    above, tied = effect > edge, effect == edge
    return float(is_hit[above].sum() + (k - above.sum()) * is_hit[tied].mean())


def _average_precision(effect: np.ndarray, is_hit: np.ndarray) -> float:
    """Mean precision at the hits, the mean over all orders of tied effects."""
    from pertscope.ev._average_precision_kernels import precision_of_tied

    total, above, hits_above = 0.0, 0, 0
    for value in np.unique(effect)[::-1]:
        tied = effect == value
        n_tied, n_hits = int(tied.sum()), int(is_hit[tied].sum())
        if n_hits:
            total += precision_of_tied(n_hits, n_tied, hits_above, above, False)
        above += n_tied
        hits_above += n_hits
    return total / hits_above
