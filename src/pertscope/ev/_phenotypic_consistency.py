"""Do perturbations with the same target or mechanism look alike?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from pertscope._core import keys
from pertscope._core.conditions import screen_conditions
from pertscope._core.messages import listed, nearest
from pertscope._core.representation import representation_of
from pertscope._core.screen import Screen, require_actual
from pertscope.ev._average_precision import Queries, average_precision
from pertscope.ev._retrieval_null import p_values
from pertscope.ev._retrieval_table import CORRECTED, retrieval_table

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope._core.conditions import Conditions

LABEL = "label"


def phenotypic_consistency(
    adata: AnnData,
    label_key: str,
    use_rep: str | None = None,
    *,
    separator: str | None = "|",
    activity_key: str | None = "phenotypic_activity",
    fdr: float = 0.05,
    metric: str = "cosine",
    null: str = "shared",
    n_null: int = 100_000,
    compat: str | None = None,
    seed: int = 0,
    key_added: str = "phenotypic_consistency",
) -> None:
    """Mean average precision of each label: do its perturbations find each other?

    Every active perturbation has one profile, the median of its own. For each of its labels it
    ranks the other perturbations of the label, its positives, among those that share no label with
    it, its negatives. Average precision, its mean over a label and the test are those of
    :func:`pertscope.ev.phenotypic_activity`.

    Parameters
    ----------
    adata
        Registered screen of profiles that :func:`pertscope.ev.phenotypic_activity` has judged.
    label_key
        Column of ``.obs`` with the labels of the perturbation, such as its targets. Perturbations
        without labels are left out.
    use_rep
        Key of ``.obsm`` that holds the profiles; by default the registered layer, which must then
        be dense.
    separator
        What stands between the labels of a perturbation; ``None`` where each has one.
    activity_key
        Key of the activities; ``None`` takes every perturbation for active.
    fdr
        Corrected p-value below which a perturbation is active.
    metric, null, n_null, compat, seed
        As in :func:`pertscope.ev.phenotypic_activity`.
    key_added
        Key of the table.

    Returns
    -------
    ``None``. Writes ``.uns[key_added]``, a DataFrame with one row per label (in each combination of
    covariates), those of inactive perturbations included: the covariates, ``label`` (categorical),
    ``mean_average_precision``, ``mean_normalised_average_precision``, ``p_value``,
    ``corrected_p_value`` (float64; NaN where less than two active perturbations have the label),
    ``n_profiles`` (int64), the active perturbations with the label.

    Raises
    ------
    KeyError
        If the screen is not registered, or a column, a representation or the table of activities
        does not exist.
    ValueError
        If the labels of a perturbation differ between rows, no two active perturbations share a
        label, values are NaN or infinite, or an option is unknown.

    References
    ----------
    Kalinin et al., A versatile information retrieval framework for evaluating profile strength and
    similarity, Nature Communications 16 (2025), and its software copairs.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=9, n_genes=50, seed=0)
    >>> ps.pp.register(adata)
    >>> ps.pp.normalize(adata)
    >>> adata.obsm["X_dense"] = adata.X.toarray()
    >>> adata.obs["target"] = adata.obs["perturbation"].astype(str).str[-1].map(ord) % 3
    >>> ps.ev.phenotypic_consistency(adata, "target", "X_dense", activity_key=None, n_null=100)
    >>> adata.uns["phenotypic_consistency"].columns[:2].tolist()
    ['label', 'mean_average_precision']
    """
    keys.check_key(key_added)
    conditions = screen_conditions(adata, Screen.of(adata))
    labels = _labels_of(adata.obs, conditions, label_key, separator)
    active = _active(adata, conditions, activity_key, fdr)
    x = representation_of(adata, use_rep)
    rows = np.array(sorted(active & labels.keys()), dtype=np.int64)
    consensus = np.zeros((len(conditions), x.shape[1]))
    for c in rows:
        consensus[c] = np.median(x[conditions.codes == c], axis=0)
    queries, names, member = _queries(conditions, labels, rows)
    if not (np.diff(queries.start) > 1).any():
        raise ValueError(
            f"no two of the {len(rows)} active perturbations with labels share one of "
            f"`.obs[{label_key!r}]`: nothing to rank. Is `separator`={separator!r} right?"
        )
    context = conditions.context
    asked = context[queries.members]
    retrieval = average_precision(
        consensus,
        queries,
        [(np.flatnonzero(asked == c), rows[context[rows] == c]) for c in np.unique(asked)],
        metric=metric,
        labels=member,
        positives_first=compat == "copairs",
    )
    p_value = p_values(queries, retrieval, null=null, n_null=n_null, compat=compat, seed=seed)
    table = retrieval_table(names, queries, retrieval, p_value)
    require_actual(adata)
    adata.uns[key_added] = table


def _labels_of(
    obs: pd.DataFrame, conditions: Conditions, label_key: str, separator: str | None
) -> dict[int, list[str]]:
    """Labels of each perturbed condition that has some."""
    if label_key not in obs.columns:
        raise KeyError(f"`.obs` has no column {label_key!r}; {nearest(label_key, obs.columns)}.")
    values = pd.DataFrame({"c": conditions.codes, "v": obs[label_key].to_numpy(dtype=object)})
    values = values[~conditions.is_control[conditions.codes]].dropna().drop_duplicates()
    twice = values["c"][values["c"].duplicated()].unique()
    if len(twice):
        raise ValueError(
            f"`.obs[{label_key!r}]` has several values for {listed(conditions.index[twice])}: a "
            "perturbation must have the same labels in all rows."
        )
    found = {}
    for c, text in zip(values["c"], values["v"].astype(str), strict=True):
        parts = text.split(separator) if separator else [text]
        found[int(c)] = sorted({part.strip() for part in parts} - {""})
    return {c: parts for c, parts in found.items() if parts}


def _active(
    adata: AnnData, conditions: Conditions, activity_key: str | None, fdr: float
) -> set[int]:
    """Conditions whose activity was found."""
    if activity_key is None:
        return set(np.flatnonzero(~conditions.is_control).tolist())
    if activity_key not in adata.uns:
        raise KeyError(
            f"`.uns` has no {activity_key!r}: call `ps.ev.phenotypic_activity(adata)` first, or "
            "pass `activity_key=None` to take every perturbation."
        )
    screen, table = conditions.screen, adata.uns[activity_key]
    wanted = [*screen.covariate_keys, keys.PERTURBATION, CORRECTED]
    if not set(wanted) <= set(getattr(table, "columns", ())):
        raise KeyError(
            f"`.uns[{activity_key!r}]` is no table of `ps.ev.phenotypic_activity` for this screen: "
            f"it lacks some of {listed(wanted)}."
        )
    passing = table[table[CORRECTED] < fdr]
    names = passing[[*screen.covariate_keys, keys.PERTURBATION]].astype(str)
    place = {tuple(row): i for i, row in enumerate(conditions.table.to_numpy(dtype=object))}
    return {place[row] for row in names.itertuples(index=False, name=None) if row in place}


def _queries(
    conditions: Conditions, labels: dict[int, list[str]], rows: np.ndarray
) -> tuple[Queries, pd.DataFrame, sp.csr_array]:
    """Active conditions of each label and context; names; labels of each condition."""
    keys_of_context = list(conditions.screen.covariate_keys)
    pairs = [(int(conditions.context[c]), label, c) for c in labels for label in labels[c]]
    groups = sorted({(context, label) for context, label, _ in pairs})
    number = {group: g for g, group in enumerate(groups)}
    wanted = set(rows.tolist())
    used = sorted((number[context, label], c) for context, label, c in pairs if c in wanted)
    group, members = np.array(used, dtype=np.int64).reshape(-1, 2).T
    start = np.searchsorted(group, np.arange(len(groups) + 1))
    ones = np.ones(len(members), np.int32)
    member = sp.csr_array((ones, (members, group)), shape=(len(conditions), len(groups)))
    names = pd.DataFrame(
        [(*conditions.contexts[context], label) for context, label in groups],
        columns=[*keys_of_context, LABEL],
    )
    no_columns = np.empty((len(conditions), 0), np.int64)
    return Queries(members.copy(), start, no_columns), names, member
