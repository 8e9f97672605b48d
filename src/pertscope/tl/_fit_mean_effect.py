"""Fit :class:`pertscope.models.MeanEffect`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope.tl._train_and_predict import train_and_predict

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope.models.response.mean_effect import MeanEffect


def fit_mean_effect(
    adata: AnnData,
    *,
    per_covariate: bool = True,
    key_added: str = "mean_effect",
) -> MeanEffect:
    """Predict the mean training effect for every perturbation.

    ``x = x_0 + mean_i(e_i)``; see :class:`pertscope.models.MeanEffect`.

    Parameters
    ----------
    adata
        Registered, split screen on a log or standardised scale.
    per_covariate
        Average within each combination of covariates; otherwise over all training conditions.
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
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_mean_effect(adata)
    >>> ps.get.prediction(adata, "mean_effect").n_vars
    50
    """
    from pertscope.models.response.mean_effect import MeanEffect

    return train_and_predict(
        adata, lambda screen: MeanEffect(screen, per_covariate=per_covariate), key_added
    )
