"""Effects of unseen perturbations from what is known of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
import pandas as pd

from pertscope._core.conditions import screen_conditions
from pertscope._core.keys import TEST, VAL
from pertscope._core.messages import listed
from pertscope._core.perturbation_embedding import PerturbationEmbedding, read_embedding
from pertscope._core.splits import split_of
from pertscope._core.threads import in_threads
from pertscope.models.effect_model import EffectModel
from pertscope.models.response._embedding_features import (
    Sources,
    join_embeddings,
    say_what_is_missing,
)
from pertscope.models.response._joined_regression import fit_joined, predict_joined
from pertscope.models.response._regression import RegressionOptions, require_learned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from pertscope._core.conditions import Conditions

SEPARATOR = "|"


@final
class EmbeddingRegression(EffectModel):
    """Regression of effects on embeddings of perturbations, for perturbations never tried.

    The vectors of the training perturbations are standardised and projected on their principal
    components, each embedding by itself. In each combination of covariates by itself, effects y of
    conditions are predicted from these features z:

    - ``"knn"``: the mean effect of the k nearest training conditions;
    - ``"linear"``, ``"ridge"``, ``"lasso"``, ``"elastic_net"``: ``argmin |y - w z|^2 / (2 n) + a r
      |w|_1 + a (1 - r) |w|^2 / 2``, where r is 0 for ridge, 1 for the lasso, and a is 0 for linear;
    - ``"bilinear"``: ridge regression of both sides, ``y = G (G'G + n a)^-1 G' Y' Z (Z'Z + n a)^-1
      z`` with G the principal components of the training effects Y over genes;
    - ``"mlp"``: a network with one hidden layer, stopped by the first of the inner folds;
    - ``"logistic"``, of labels (:func:`pertscope.tl.deg_labels`): the most probable of down,
      unchanged and up by multinomial logistic regression, penalised by ``a |w|^2 / 2``, where the
      labels of a gene weigh the same in sum, however rare.

    k or a is the one with the least mean L2 error, of labels the best macro-F1 per gene, over inner
    folds of the training conditions. Conditions without a vector are left out in training, and are
    predicted by the mean training effect, of labels by the most frequent one; how many there are is
    said once.

    Parameters
    ----------
    adata
        Registered, split screen: of cells, or of effects (:func:`pertscope.tl.effects`).
    perturbation_embedding
        Name of an embedding (:func:`pertscope.pp.add_perturbation_embedding`), or several names.
    regressor
        As above.
    join
        What several embeddings become: ``"concat"`` puts their components side by side;
        ``"stack"`` gives each a regression of its own, and predicts ``m + sum_s w_s (y_s - m)``
        with m the mean effect and weights, none negative, that fit the inner folds best; not of
        labels.
    n_components
        Most principal components of an embedding.
    n_neighbors
        Numbers of neighbours to choose from; no more than there are.
    metric
        Which neighbours are near: ``"l2"`` or ``"cosine"`` of the components, or ``"tanimoto"`` of
        the vectors as they are, for fingerprints.
    weights
        ``"uniform"``, or ``"distance"``: neighbours count by 1 / distance.
    penalties
        Penalties a to choose from; by default 1e-7, 1e-5, 1e-3, 0.1 and 1 of ``"logistic"``, and
        powers of ten from 1e-3 to 100 of the others.
    l1_ratio
        The r of ``"elastic_net"``.
    n_hidden
        Width of the network.
    n_inner_folds
        Folds by which k or a is chosen.
    seed
        Seed of these folds, and of the network.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.models.EmbeddingRegression.setup_anndata(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> genes = sorted(set(adata.obs["perturbation"]) - {"control"})
    >>> table = pd.DataFrame(np.random.default_rng(0).random((8, 3)), index=genes)
    >>> ps.pp.add_perturbation_embedding(adata, table, "random")  # doctest: +ELLIPSIS
    random: ...
    >>> ps.pp.split_unseen(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.models.EmbeddingRegression(adata, perturbation_embedding="random")
    >>> model.train()
    >>> model.predict().n_vars
    50
    """

    name: ClassVar[str] = "embedding_regression"

    def __init__(
        self,
        adata: AnnData,
        *,
        perturbation_embedding: str | Sequence[str],
        regressor: str = "knn",
        join: str = "concat",
        n_components: int = 100,
        n_neighbors: Sequence[int] = (20, 40, 60, 80, 100),
        metric: str = "l2",
        weights: str = "uniform",
        penalties: Sequence[float] | None = None,
        l1_ratio: float = 0.5,
        n_hidden: int = 256,
        n_inner_folds: int = 5,
        seed: int = 0,
    ) -> None:
        chosen = perturbation_embedding
        names = [chosen] if isinstance(chosen, str) else list(chosen)
        if not names or len(set(names)) < len(names):
            raise ValueError(f"`perturbation_embedding`={names} must name embeddings, each once.")
        settings: dict[str, Any] = {
            "regressor": regressor,
            "join": join,
            "n_components": n_components,
            "n_neighbors": n_neighbors,
            "metric": metric,
            "weights": weights,
            "penalties": penalties,
            "l1_ratio": l1_ratio,
            "n_hidden": n_hidden,
            "n_inner_folds": n_inner_folds,
            "seed": seed,
        }
        RegressionOptions(**settings)  # refuses what cannot be
        for key in ("n_neighbors", "penalties"):  # as a file has them
            settings[key] = None if settings[key] is None else list(settings[key])
        chosen = chosen if isinstance(chosen, str) else names
        super().__init__(adata, perturbation_embedding=chosen, **settings)
        found = [read_embedding(adata, name) for name in names]
        parts = screen_conditions(adata, self.screen).components
        joined = join_embeddings(found, {p for condition in parts for p in condition})
        self.vocabulary = replace(self.vocabulary, embedding=joined)
        self._widths = tuple(e.vectors.shape[1] for e in found)

    @property
    def selected(self) -> dict[str, float]:
        """Number of neighbours or penalty that was chosen for each combination of covariates.

        0 where there is none.
        """
        self._require_trained()
        return {k: float(v["chosen"]) for k, v in self._learned.items() if "chosen" in v}

    @property
    def stack(self) -> pd.DataFrame:
        """Weight of each embedding where they are stacked: combinations of covariates in rows."""
        self._require_trained()
        weights = {k: v["stack"] for k, v in self._learned.items() if "stack" in v}
        names = self.settings["perturbation_embedding"]
        columns = [names] if isinstance(names, str) else names
        return pd.DataFrame.from_dict(weights, orient="index", columns=columns)

    @property
    def _options(self) -> RegressionOptions:
        settings = {k: v for k, v in self.settings.items() if k != "perturbation_embedding"}
        return RegressionOptions(**settings)

    @property
    def _embedding(self) -> PerturbationEmbedding:
        if self.vocabulary.embedding is None:
            raise ValueError("the model lost its embedding: make it again.")
        return self.vocabulary.embedding

    def _sources(self, conditions: Conditions) -> Sources:
        vectors = self._embedding.of(conditions.components)
        return Sources(vectors.astype(np.float64), self._widths)

    def _fit(self, conditions: Conditions, effects: np.ndarray) -> None:
        name = str(self.settings["perturbation_embedding"])
        sources, held_out = self._sources(conditions), self._held_out()
        say_what_is_missing(
            name,
            training=(conditions.index, sources.known),
            held_out=(held_out.index, self._sources(held_out).known),
        )
        group, options = self._group(conditions), self._options
        names = [str(g) for g in np.unique(group)]
        each = [np.flatnonzero(group == name) for name in names]
        found = in_threads(
            fit_joined, ((sources.take(rows), effects[rows], options) for rows in each)
        )
        self._learned = dict(zip(names, found, strict=True))
        require_learned(name, ("chosen" in learned for learned in found))

    def _held_out(self) -> Conditions:
        every = screen_conditions(self.adata, self.screen)
        part = np.isin(split_of(self.adata, every), (VAL, TEST))
        there = np.bincount(every.codes[part], minlength=len(every)) > 0
        return every.take(np.flatnonzero(there & ~every.is_control))

    def _effects(self, conditions: Conditions) -> np.ndarray:
        group, options = self._group(conditions), self._options
        unknown = sorted(set(group) - self._learned.keys())
        if unknown:
            raise ValueError(f"no perturbation of {listed(unknown)} was in training.")
        sources = self._sources(conditions)
        found = np.empty((len(conditions), len(self.genes)))
        for name in np.unique(group):
            rows = np.flatnonzero(group == name)
            found[rows] = predict_joined(self._learned[name], sources.take(rows), options)
        return found

    def _group(self, conditions: Conditions) -> np.ndarray:
        table = conditions.table[list(self.screen.covariate_keys)].to_numpy(dtype=str)
        return np.array([SEPARATOR.join(row) for row in table], dtype=object)

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {"contexts": np.array(list(self._learned)), "widths": np.array(self._widths)}
        for i, learned in enumerate(self._learned.values()):
            arrays |= {f"{i}_{k}": v for k, v in learned.items()}
        return arrays

    def _set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self._widths = tuple(int(w) for w in arrays["widths"])
        self._learned = {}
        for i, name in enumerate(arrays["contexts"].tolist()):
            first = f"{i}_"
            of_this = {k: v for k, v in arrays.items() if k.startswith(first)}
            self._learned[name] = {k.removeprefix(first): v for k, v in of_this.items()}
