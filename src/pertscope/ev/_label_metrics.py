"""Agreement of predicted and observed labels of genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope.ev._comparison import Options
from pertscope.ev._judge import judge
from pertscope.ev._metrics import check_names, pairs
from pertscope.ev.families.labels import LABEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

DEFAULT = ("macro_f1", "macro_f1_per_gene")


def label_metrics(
    adata: AnnData,
    predictions: str | Sequence[str] | None = None,
    *,
    metrics: Sequence[str] = DEFAULT,
    split: str | None = "test",
    key_added: str = "label_metrics",
) -> None:
    """Score predicted labels of genes, down (-1), unchanged (0) or up (1).

    With TP, FP and FN the numbers of right, false and missed labels c, ``F1_c = 2 TP / (2 TP + FP +
    FN)``, and macro-F1 is its mean over the labels that there are in the observation:

    - ``macro_f1``: over the genes of a condition;
    - ``macro_f1_per_gene``: over the conditions for each gene, then the mean over genes, one value
      for each combination of covariates. It is what Cole et al. report: a gene that is always
      unchanged, and predicted so, counts as 1.

    Parameters
    ----------
    adata
        Registered screen of labels (:func:`pertscope.tl.deg_labels`) with predictions of them. For
        labels that tests find in a screen of cells see :func:`pertscope.ev.deg_metrics`.
    predictions
        Names of the predictions to score; all by default. The bound ``"train_mean"`` of
        :func:`pertscope.tl.cross_validate` is no label, and is refused by its name: the one of
        labels is ``"train_mode"``.
    metrics
        Names as above.
    split
        Part of the split to score; ``None`` for all predicted conditions.
    key_added
        Key of the table.

    Returns
    -------
    ``None``. Writes ``.uns[key_added]``, a DataFrame as
    :func:`pertscope.ev.error_metrics` does; its ``statistic`` is ``"label"``.

    Raises
    ------
    KeyError
        If there are no predictions, or none of a name.
    ValueError
        If a metric is unknown, a part is empty, or the screen or a prediction holds anything but
        -1, 0 and 1.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction, section 4.2.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=12, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> labels = ps.tl.deg_labels(adata)
    >>> genes = sorted(set(labels.obs["perturbation"]) - {"control"})
    >>> table = pd.DataFrame(np.random.default_rng(0).random((12, 3)), index=genes)
    >>> ps.pp.add_perturbation_embedding(labels, table, "mine")  # doctest: +ELLIPSIS
    mine: ...
    >>> ps.tl.cross_validate(labels, "logistic", "mine", bounds=["train_mode"])
    >>> ps.ev.label_metrics(labels, split=None)
    >>> ps.get.scores(labels)["mean"].columns.tolist()
    ['macro_f1_label', 'macro_f1_per_gene_label']
    """
    check_names(metrics, "label_metrics")
    judge(
        adata,
        predictions,
        pairs(metrics, [LABEL]),
        split=split,
        options=Options(),
        key_added=key_added,
    )
