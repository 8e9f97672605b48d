"""Genes by what is annotated to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope._core.messages import listed
from pertscope._core.tables import checked_table, read_table
from pertscope.tl._embedding_table import check_n_dims, embedding_table, tell_left_out

if TYPE_CHECKING:
    import os

    import pandas as pd
    from anndata import AnnData


def embed_annotations(
    annotations: pd.DataFrame | AnnData | str | os.PathLike[str],
    n_dims: int = 128,
    *,
    n_hidden: int = 512,
    lr: float = 1e-3,
    batch_size: int = 128,
    max_epochs: int = 200,
    patience: int = 20,
    seed: int = 0,
    accelerator: str = "auto",
) -> pd.DataFrame:
    """Embed genes by a variational autoencoder of their annotations, such as terms of GO.

    ``z ~ N(m(x), s(x)^2)`` and ``x_t ~ Bernoulli(f_t(z))`` for the terms x of a gene, m, s and f
    with one hidden layer, trained by the evidence lower bound on 90% of the genes. The weights that
    lose least on the other 10% are kept; a gene's vector is ``m(x)``.

    Parameters
    ----------
    annotations
        Genes x terms, 1 where a term is annotated and 0 where not (or a share between): a
        DataFrame, an AnnData, or a file as :func:`pertscope.pp.add_perturbation_embedding` reads.
        Of pairs, ``pd.crosstab(pairs["gene"], pairs["term"]).clip(upper=1)``.
    n_dims
        Dimensions.
    n_hidden
        Width of the hidden layers.
    lr
        Learning rate of Adam.
    batch_size
        Genes per step.
    max_epochs
        Epochs at most.
    patience
        Epochs without a lower validation loss after which training stops.
    seed
        Seed of the weights and of all that is drawn.
    accelerator
        ``"cpu"``, ``"gpu"``, or ``"auto"``: a GPU where there is one. On the CPU the same seed and
        number of threads give the same bytes.

    Returns
    -------
    float32 ``(genes, dimensions)``, for :func:`pertscope.pp.add_perturbation_embedding`. Genes
    without a term get no row, and a warning names them.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a value is not in [0, 1], a gene occurs twice, fewer than two genes have a term, a
        setting is out of range, or training diverges.

    References
    ----------
    Kingma and Welling, ICLR (2014); Cole et al., Foundation Models Improve Perturbation Response
    Prediction (2025), GenotypeVAE in section 4.5.2.

    Examples
    --------
    >>> import pandas as pd
    >>> import pertscope as ps
    >>> terms = pd.DataFrame([[1, 0], [1, 0], [1, 1]], ["MYC", "MAX", "TP53"], ["GO:1", "GO:2"])
    >>> ps.tl.embed_annotations(terms, 2, max_epochs=2, accelerator="cpu").shape
    (3, 2)
    """
    check_n_dims(n_dims)
    if n_hidden < 1 or batch_size < 1 or lr <= 0:
        raise ValueError(
            f"`n_hidden`={n_hidden} and `batch_size`={batch_size} must be at least 1, `lr`={lr} "
            "above zero."
        )
    table = checked_table(read_table(annotations))
    x = table.to_numpy()
    outside = ((x < 0) | (x > 1)).any(axis=1)
    if outside.any():
        raise ValueError(
            f"annotations are 0 or 1, or between; {int(outside.sum())} row(s) hold other values: "
            f"{listed(table.index[outside])}."
        )
    known = x.any(axis=1)
    if known.sum() < 2:
        raise ValueError(f"{int(known.sum())} gene(s) have a term, two are needed at least.")
    tell_left_out(table.index[~known], "they have no term")
    from pertscope.models.embedding.annotations import embed_by_autoencoder

    vectors = embed_by_autoencoder(
        x[known],
        n_dims=n_dims,
        n_hidden=n_hidden,
        lr=lr,
        batch_size=batch_size,
        max_epochs=max_epochs,
        patience=patience,
        seed=seed,
        accelerator=accelerator,
    )
    return embedding_table(table.index[known], vectors)
