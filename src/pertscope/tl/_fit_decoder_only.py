"""Fit :class:`pertscope.models.DecoderOnly`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pertscope.tl._train_and_predict import train_and_predict

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope.models.response.decoder_only.model import DecoderOnly


def fit_decoder_only(
    adata: AnnData,
    *,
    inputs: str = "both",
    n_hidden: int = 256,
    n_layers: int = 2,
    dropout: float = 0.1,
    softplus: bool = False,
    perturbation_embedding: str | None = None,
    seed: int = 0,
    preset: str | None = None,
    key_added: str = "decoder_only",
    **train_kwargs: Any,
) -> DecoderOnly:
    """Train a network that decodes the labels of a condition, and predict.

    ``x = f_dec(z)``; see :class:`pertscope.models.DecoderOnly`.

    Parameters
    ----------
    adata
        Registered, split screen on a log or standardised scale.
    inputs
        ``"both"``, ``"perturbation"`` or ``"covariates"``.
    n_hidden
        Width of the hidden layers.
    n_layers
        Hidden layers.
    dropout
        Share of hidden units dropped in training.
    softplus
        Force the output to be positive.
    perturbation_embedding
        Name of vectors that :func:`pertscope.pp.add_perturbation_embedding` kept, in place of
        one-hot perturbations: whatever has one can be predicted, seen or not.
    seed
        Seed of weights, order of cells and dropout.
    preset
        Published settings in place of the defaults, ``"norman19"`` or ``"srivatsan20"``; an
        argument that differs from its default wins. See :func:`pertscope.models.presets`.
    key_added
        Name of the prediction.
    **train_kwargs
        Passed to :meth:`pertscope.models.DecoderOnly.train`: ``max_epochs``, ``batch_size``,
        ``lr``, ``accelerator``, ...

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
    >>> model = ps.tl.fit_decoder_only(adata, max_epochs=1)
    >>> ps.get.prediction(adata, "decoder_only").n_vars
    50
    """
    from pertscope.models.response.decoder_only.model import DecoderOnly

    return train_and_predict(
        adata,
        partial(
            DecoderOnly,
            inputs=inputs,
            n_hidden=n_hidden,
            n_layers=n_layers,
            dropout=dropout,
            softplus=softplus,
            perturbation_embedding=perturbation_embedding,
            seed=seed,
        ),
        key_added,
        preset=preset,
        **train_kwargs,
    )
