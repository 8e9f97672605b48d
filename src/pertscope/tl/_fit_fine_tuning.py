"""Fit :class:`pertscope.models.FineTuning`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pertscope.tl._train_and_predict import train_and_predict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from torch import nn

    from pertscope.models.response.fine_tuning.model import FineTuning


def fit_fine_tuning(
    adata: AnnData,
    *,
    encoder: nn.Module | None = None,
    head: str = "indexing",
    weights: str = "all",
    rank: int = 8,
    encoder_genes: Sequence[str] | None = None,
    alias: Mapping[str, str] | None = None,
    n_hidden: Sequence[int] | None = None,
    n_cells: int = 16,
    max_controls: int = 128,
    seed: int = 0,
    key_added: str = "fine_tuning",
    **train_kwargs: Any,
) -> FineTuning:
    """Predict genes never perturbed by an encoder of genes that is trained further.

    See :class:`pertscope.models.FineTuning`. The paper trains with ``batch_size=8``, chooses ``lr``
    among 1e-2 to 1e-5, and needs more epochs with ``"knockout"``.

    Parameters
    ----------
    adata
        Registered, split screen (:func:`pertscope.pp.split_unseen`): of cells on the scale that the
        encoder was trained on, or of effects (:func:`pertscope.tl.effects`).
    encoder
        Torch module ``(cells, genes)`` to ``(cells, genes, width)``; it stays as it is, a copy is
        trained. By default a :func:`pertscope.tl.train_gene_encoder` of the training controls.
    head
        ``"indexing"``: from the vector of the perturbed gene in control cells. ``"knockout"``: from
        the vectors of all genes in the mean control without the perturbed gene.
    weights
        Weights of the encoder that are trained: ``"all"``; ``"lora"``, adapters of low rank beside
        its linear layers (``pip install 'pertscope[lora]'``); or none, ``"frozen"``.
    rank
        Rank of these adapters.
    encoder_genes
        Genes of the encoder's columns; by default ``encoder.genes`` where it has them, else those
        of the screen. What the screen does not measure is 0.
    alias
        Perturbation -> the gene it hits, where that is another name.
    n_hidden
        Widths of the hidden layers of the head; by default 1024 and 2048, or 64 and 32 of
        ``"knockout"``.
    n_cells
        Control cells that a step of ``"indexing"`` draws.
    max_controls
        Control cells of each combination of covariates that a prediction averages over.
    seed
        Seed of weights, order, draws, and of the perturbations to validate on.
    key_added
        Name of the prediction.
    **train_kwargs
        Passed to :meth:`pertscope.models.FineTuning.train`: ``max_epochs``, ``batch_size``, ``lr``,
        ``accelerator``, ...

    Returns
    -------
    The trained model. Writes its prediction of the val and test conditions to
    ``.uns["pertscope"]["predictions"][key_added]``, an AnnData ``(conditions, genes)``, float32.

    Raises
    ------
    KeyError
        If the screen is not registered or not split.
    TypeError
        If the encoder is no torch module.
    ValueError
        If the screen holds counts, the train part is empty, a setting cannot be, the encoder
        returns another shape, it knows none of the training or of the held-out genes, a gene is
        held out under one label and trained on under another, or covariates have no controls.
    ImportError
        If ``weights="lora"`` and peft is not installed.

    Warns
    -----
    UserWarning
        If the encoder does not know the genes of conditions: they are left out in training, and
        predicted by the mean.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction (2025), 4.8.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_unseen(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> encoder = ps.tl.train_gene_encoder(adata, n_dims=8, max_epochs=1)
    >>> model = ps.tl.fit_fine_tuning(adata, encoder=encoder, n_hidden=[32], max_epochs=1)
    >>> ps.get.prediction(adata, "fine_tuning").n_vars
    50
    """
    from pertscope.models.response.fine_tuning.model import FineTuning

    return train_and_predict(
        adata,
        lambda screen: FineTuning(
            screen,
            encoder=encoder,
            head=head,
            weights=weights,
            rank=rank,
            encoder_genes=encoder_genes,
            alias=alias,
            n_hidden=n_hidden,
            n_cells=n_cells,
            max_controls=max_controls,
            seed=seed,
        ),
        key_added,
        **train_kwargs,
    )
