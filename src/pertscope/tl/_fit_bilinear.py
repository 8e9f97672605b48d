"""Fit :class:`pertscope.models.Bilinear`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope.tl._train_and_predict import train_and_predict

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope.models.response.bilinear import Bilinear


def fit_bilinear(
    adata: AnnData,
    *,
    n_components: int = 10,
    ridge: float = 0.1,
    perturbation_features: str = "auto",
    key_added: str = "bilinear",
) -> Bilinear:
    """Predict effects by ridge regression on gene and perturbation embeddings.

    ``E = G W P' + b``; see :class:`pertscope.models.Bilinear`.

    Parameters
    ----------
    adata
        Registered, split screen on a log or standardised scale.
    n_components
        Components of the genes.
    ridge
        Penalty.
    perturbation_features
        ``"genes"``, ``"one-hot"``, or ``"auto"``: genes where all perturbations are genes.
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
    >>> model = ps.tl.fit_bilinear(adata)
    >>> ps.get.prediction(adata, "bilinear").n_vars
    50
    """
    from pertscope.models.response.bilinear import Bilinear

    return train_and_predict(
        adata,
        lambda screen: Bilinear(
            screen,
            n_components=n_components,
            ridge=ridge,
            perturbation_features=perturbation_features,
        ),
        key_added,
    )
