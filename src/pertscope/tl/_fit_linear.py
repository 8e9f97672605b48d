"""Fit :class:`pertscope.models.Linear`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pertscope.tl._train_and_predict import train_and_predict

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope.models.response.linear.model import Linear


def fit_linear(
    adata: AnnData,
    *,
    perturbation_embedding: str | None = None,
    seed: int = 0,
    preset: str | None = None,
    key_added: str = "linear",
    **train_kwargs: Any,
) -> Linear:
    """Train a linear effect of perturbation and covariates, and predict.

    ``x = x_0 + W [p, c] + b``; see :class:`pertscope.models.Linear`.

    Parameters
    ----------
    adata
        Registered, split screen on a log or standardised scale.
    perturbation_embedding
        Name of vectors that :func:`pertscope.pp.add_perturbation_embedding` kept, in place of
        one-hot perturbations: whatever has one can be predicted, seen or not.
    seed
        Seed of weights, order of cells, and matched controls.
    preset
        Published settings in place of the defaults, ``"norman19"`` or ``"srivatsan20"``; an
        argument that differs from its default wins. See :func:`pertscope.models.presets`.
    key_added
        Name of the prediction.
    **train_kwargs
        Passed to :meth:`pertscope.models.Linear.train`: ``max_epochs``, ``batch_size``, ``lr``,
        ``accelerator``, ...

    Returns
    -------
    The trained model. Writes its prediction of the val and test conditions to
    ``.uns["pertscope"]["predictions"][key_added]``, an AnnData ``(conditions, genes)``, float32.

    Raises
    ------
    KeyError
        If the screen is not registered or not split.
    ValueError
        If there is no such preset, it holds counts, or the train part is empty.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_linear(adata, max_epochs=1)
    >>> ps.get.prediction(adata, "linear").n_vars
    50
    """
    from pertscope.models.response.linear.model import Linear

    return train_and_predict(
        adata,
        partial(Linear, perturbation_embedding=perturbation_embedding, seed=seed),
        key_added,
        preset=preset,
        **train_kwargs,
    )
