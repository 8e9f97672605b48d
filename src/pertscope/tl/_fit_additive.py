"""Fit :class:`pertscope.models.Additive`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope.tl._train_and_predict import train_and_predict

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope.models.response.additive import Additive


def fit_additive(
    adata: AnnData,
    *,
    key_added: str = "additive",
) -> Additive:
    """Predict that perturbations add up.

    ``x = x_0 + sum_p e_p``; see :class:`pertscope.models.Additive`.

    Parameters
    ----------
    adata
        Registered, split screen on a log or standardised scale.
    key_added
        Name of the prediction.

    Returns
    -------
    The trained model. Writes its prediction of the val and test conditions to
    ``.uns["pertscope"]["predictions"][key_added]``, an AnnData ``(conditions, genes)``, float32.

    Raises
    ------
    KeyError
        If the screen is not registered or not split.
    ValueError
        If it holds counts, or the train part is empty.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=6, n_combinations=6, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_combinations(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_additive(adata)
    >>> ps.get.prediction(adata, "additive").n_vars
    50
    """
    from pertscope.models.response.additive import Additive

    return train_and_predict(adata, Additive, key_added)
