"""Say once what the columns of a screen mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.conditions import ambiguous_labels, conditions_of, label_column
from pertscope._core.keys import CONDITION_COLUMNS, TABLE_COLUMNS, check_key
from pertscope._core.matrix import matrix_of
from pertscope._core.messages import listed, nearest
from pertscope._core.screen import Screen, require_actual, require_anndata

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData


def register(
    adata: AnnData,
    *,
    perturbation_key: str = "perturbation",
    control: str = "control",
    covariate_keys: Sequence[str] = (),
    batch_key: str | None = None,
    dose_key: str | None = None,
    combination_separator: str | None = "+",
    split_key: str = "split",
    layer: str | None = None,
) -> None:
    """Register `adata` as a perturbation screen.

    Every other function then knows what the columns mean. Registering again replaces what was
    registered; predictions, splits and scores stay.

    Parameters
    ----------
    adata
        Cells (or wells) x genes (or image features).
    perturbation_key
        Column of ``.obs`` with the perturbation of each cell.
    control
        Its label for "no intervention".
    covariate_keys
        Columns of ``.obs`` with the biological context to model, such as the cell type.
    batch_key
        Column of ``.obs`` with the technical group: plate, replicate, gem group.
    dose_key
        Numeric column of ``.obs`` with the dose.
    combination_separator
        What joins perturbations that were applied together, as in ``"A+B"``. ``None`` where labels
        hold the character for other reasons, as names of compounds may.
    split_key
        Column of ``.obs`` that holds, or will hold, the split.
    layer
        Layer with the expression to model and to judge by; ``None`` is ``.X``.

    Returns
    -------
    ``None``. Writes ``.uns["pertscope"]["screen"]``, a dict of strings, a list and an integer.

    Raises
    ------
    KeyError
        If a column or the layer does not exist.
    ValueError
        If labels are missing, the control label does not occur, a combination of covariates has no
        controls, a covariate or the perturbation is named as a column of the tables they stand in
        (``"metric"``, ``"gene"``, ``"n_cells"``), two labels name the same combination (``A+B``
        and ``B+A``), or names of cells or genes occur twice.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    >>> adata.uns["pertscope"]["screen"]["control"]
    'control'
    """
    require_anndata(adata)
    if isinstance(covariate_keys, str):
        raise TypeError(f"`covariate_keys` takes a list of columns: [{covariate_keys!r}].")
    if combination_separator == "":
        raise ValueError("`combination_separator` must not be empty; `None` means no combinations.")
    screen = Screen(
        perturbation_key=perturbation_key,
        control=str(control),
        covariate_keys=tuple(covariate_keys),
        batch_key=batch_key,
        dose_key=dose_key,
        combination_separator=combination_separator,
        split_key=split_key,
        layer=layer,
    )
    check_key(split_key, "split_key")
    _check_keys(screen)
    _check_names(adata)
    matrix_of(adata, layer)
    _check_labels(adata.obs, screen)
    require_actual(adata)
    screen.write(adata)


def _check_keys(screen: Screen) -> None:
    used = [*screen.condition_keys, screen.split_key, *filter(None, [screen.dose_key])]
    if screen.batch_key is not None and screen.batch_key not in screen.covariate_keys:
        used.append(screen.batch_key)  # a donor may be both a covariate and a batch
    twice = sorted({k for k in used if used.count(k) > 1})
    if twice:
        raise ValueError(f"column(s) {listed(twice)} cannot have two meanings.")
    taken = [k for k in screen.covariate_keys if k in TABLE_COLUMNS]
    taken += [k for k in [screen.perturbation_key] if k in CONDITION_COLUMNS]
    if taken:
        raise ValueError(
            f"column(s) {listed(taken)} are named as columns that tables of conditions, scores and "
            "tests have beside covariates and perturbation: rename them in `.obs`."
        )


def _check_names(adata: AnnData) -> None:
    for names, what in ((adata.obs_names, "obs"), (adata.var_names, "var")):
        twice = names[names.duplicated()].unique()
        if len(twice):
            raise ValueError(
                f"`.{what}_names` holds {len(twice)} name(s) more than once: {listed(twice)}; call "
                f"`adata.{what}_names_make_unique()` first."
            )


def _check_labels(obs: pd.DataFrame, screen: Screen) -> None:
    if screen.batch_key is not None:
        label_column(obs, screen.batch_key)
    if screen.dose_key is not None:
        if screen.dose_key not in obs.columns:
            raise KeyError(
                f"`.obs` has no column {screen.dose_key!r}; "
                f"{nearest(screen.dose_key, obs.columns)}."
            )
        if not np.issubdtype(np.asarray(obs[screen.dose_key]).dtype, np.number):
            raise TypeError(f"`.obs[{screen.dose_key!r}]` must be numeric to be a dose.")
    labels = label_column(obs, screen.perturbation_key).categories.tolist()
    if screen.control not in labels:
        raise ValueError(
            f"`.obs[{screen.perturbation_key!r}]` has no control label {screen.control!r}; "
            f"{nearest(screen.control, labels)}."
        )
    if len(labels) == 1:
        raise ValueError(
            f"`.obs[{screen.perturbation_key!r}]` holds nothing but the control "
            f"{screen.control!r}: a screen needs at least one perturbation."
        )
    same = ambiguous_labels(labels, screen)
    if same:
        raise ValueError(
            f"{len(same)} pair(s) of labels name the same perturbation: "
            f"{listed(f'{a} = {b}' for a, b in same)}. Give each one label, or pass "
            "`combination_separator=None` if these are no combinations."
        )
    conditions = conditions_of(obs, screen)
    lost = np.unique(conditions.context[conditions.control_of < 0])
    if lost.size:
        which = ["|".join(conditions.contexts[i]) for i in lost]
        raise ValueError(
            f"{lost.size} combination(s) of {list(screen.covariate_keys)} have no "
            f"{screen.control!r} cells: {listed(which)}. Drop their cells, or register fewer "
            "covariates."
        )
