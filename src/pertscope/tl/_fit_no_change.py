"""Fit :class:`pertscope.models.NoChange`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope.tl._train_and_predict import train_and_predict

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope.models.response.no_change import NoChange


def fit_no_change(
    adata: AnnData,
    *,
    key_added: str = "no_change",
) -> NoChange:
    """Predict that nothing happens: the matched control mean.

    ``x = x_0``; see :class:`pertscope.models.NoChange`.

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
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_no_change(adata)
    >>> ps.get.prediction(adata, "no_change").n_vars
    50
    """
    from pertscope.models.response.no_change import NoChange

    return train_and_predict(adata, NoChange, key_added)
