"""The base of all response models: the same verbs for baselines and networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd

from pertscope._core.conditions import screen_conditions
from pertscope._core.matrix import dense_rows, matrix_of, refuse_counts
from pertscope._core.screen import Screen
from pertscope._core.splits import split_of
from pertscope.models.checks import require_genes, require_positive, require_vocabulary
from pertscope.models.encoding import Vocabulary, training_vocabulary
from pertscope.models.files import read_model, write_model
from pertscope.models.requests import (
    as_prediction,
    control_means,
    control_rows,
    wanted_conditions,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from anndata import AnnData

    from pertscope._core.conditions import Conditions

CONTROLS_PER_CHUNK = 1024


class ResponseModel(ABC):
    """A model of the response to perturbations, trained on the train part of a screen.

    A subclass says how it trains, how control cells respond, and which arrays it learned; setup,
    prediction, saving and loading are the same for all.

    Parameters
    ----------
    adata
        Registered, split screen on a log or standardised scale.
    **settings
        Keyword arguments of the subclass, as JSON holds them.
    """

    name: ClassVar[str]
    """Name under which its predictions are kept by default."""

    affine: ClassVar[bool]
    """Whether the mean response is the response of the mean: one row stands for all controls."""

    def __init__(self, adata: AnnData, **settings: Any) -> None:
        self.adata = adata
        self.settings = settings
        self.screen = Screen.of(adata)
        refuse_counts(adata, self.screen.layer, f"{type(self).__name__}")
        self.genes = [str(g) for g in adata.var_names]
        self.vocabulary = training_vocabulary(adata, self.screen)
        self.is_trained, self.history = False, pd.DataFrame()

    @classmethod
    def setup_anndata(cls, adata: AnnData, **keys: Any) -> None:
        """Register `adata` with the given keys, or check that it is registered.

        Parameters
        ----------
        adata
            Screen.
        keys
            Passed to :func:`pertscope.pp.register`; none are needed where it is registered.
        """
        if keys:
            from pertscope.pp import register

            register(adata, **keys)
        Screen.of(adata)

    def predict(
        self,
        conditions: pd.DataFrame | Sequence[str] | None = None,
        *,
        adata: AnnData | None = None,
        max_controls: int | None = None,
        cells_per_condition: int | None = None,
        seed: int = 0,
    ) -> AnnData:
        """Predict conditions, observed or not, from the control cells of their covariates.

        Parameters
        ----------
        conditions
            Table with the screen's covariate and perturbation columns; or labels of perturbations,
            in every combination of covariates that has controls; ``None`` for the val and test
            conditions of `adata`.
        adata
            Screen whose controls respond; by default the one that the model was made with.
        max_controls
            Most control cells per combination of covariates, drawn at random; all by default.
        cells_per_condition
            Return this many predicted cells per condition (or one per control cell, where there
            are fewer) in place of the mean over all.
        seed
            Seed of these draws.

        Returns
        -------
        AnnData ``(conditions, genes)``, or ``(cells, genes)``, float32, with the condition columns
        in ``.obs``.

        Raises
        ------
        ValueError
            If the model is not trained, never saw a perturbation or covariate value, or the
            covariates have no controls.
        """
        self._require_trained()
        require_positive(max_controls=max_controls, cells_per_condition=cells_per_condition)
        adata = self.adata if adata is None else adata
        require_genes(self.genes, adata)
        observed = screen_conditions(adata, self.screen)
        wanted = wanted_conditions(conditions, observed, split=lambda: split_of(adata, observed))
        self.vocabulary.require(wanted)
        x = matrix_of(adata, self.screen.layer)
        rng = np.random.default_rng(seed)
        n_rows = np.ones(len(wanted), int)
        result: list[np.ndarray] = [np.empty(0)] * len(wanted)
        most = max_controls if cells_per_condition is None else cells_per_condition
        controls = [control_rows(observed, c, most, rng) for c in wanted.contexts]
        means = (
            control_means(x, controls, self.genes)
            if self.affine and not cells_per_condition
            else None
        )
        for context, rows in enumerate(controls):
            chosen = np.flatnonzero(wanted.context == context)
            part = wanted.take(chosen)
            if cells_per_condition is not None:
                n_rows[chosen] = len(rows)
                responses = self._respond(dense_rows(x, rows), part)
            elif means is not None:
                responses = self._respond(means[[context]], part)
            else:
                responses = iter(self._mean_response(x, rows, part)[:, None])
            for i, cells in zip(chosen, responses, strict=True):
                result[i] = cells
        return as_prediction(wanted, n_rows, np.concatenate(result), self.genes)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Save the trained model to a folder: ``model.json`` and ``arrays.npz``.

        Neither can hold code: loading somebody's model runs nothing from it.

        Parameters
        ----------
        path
            Folder to write.
        overwrite
            Replace a model that is there.

        Raises
        ------
        FileExistsError
            If the folder holds a model and `overwrite` is false, or anything else.
        """
        if not self.is_trained:
            raise ValueError(f"this {type(self).__name__} is not trained: nothing to save.")
        entry = {
            "model": self.name,
            "settings": self.settings,
            "screen": self.screen.to_dict(),
            "genes": self.genes,
            "vocabulary": self.vocabulary.to_dict(),
            "history": self.history.reset_index().to_dict(orient="list"),
        }
        write_model(path, entry, self._arrays(), overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str], adata: AnnData) -> Self:
        """Load a model that :meth:`save` wrote.

        Parameters
        ----------
        path
            Its folder.
        adata
            Registered screen with the same genes in the same order, and covariates it knows.

        Raises
        ------
        ValueError
            If the file is of another model, another version, other genes or another vocabulary.
        """
        entry, arrays = read_model(path)
        if entry["model"] != cls.name:
            raise ValueError(f"{path} holds a model {entry['model']!r}, not {cls.name!r}.")
        model = cls.__new__(cls)
        model.adata = adata
        model.settings = entry["settings"]
        model.screen = Screen.of(adata)
        model.genes = entry["genes"]
        model.vocabulary = Vocabulary.from_dict(entry["vocabulary"])
        require_genes(model.genes, adata)
        require_vocabulary(model.vocabulary, adata, model.screen)
        history = pd.DataFrame(entry["history"])
        model.history = history.set_index("epoch") if "epoch" in history else pd.DataFrame()
        model._set_arrays(arrays)
        model.is_trained = True
        return model

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={v!r}" for k, v in self.settings.items())
        state = "trained" if self.is_trained else "not trained"
        size = f"{len(self.vocabulary.perturbations)} perturbations, {len(self.genes)} genes"
        return f"{type(self).__name__}({settings}): {state}, {size}"

    @abstractmethod
    def train(self) -> None:
        """Fit the model to the train part, and set :attr:`is_trained`."""

    @abstractmethod
    def _respond(self, x0: np.ndarray, conditions: Conditions) -> Iterator[np.ndarray]:
        """Response of control cells `x0` ``(cells, genes)`` to each of the conditions."""

    @abstractmethod
    def _arrays(self) -> dict[str, np.ndarray]:
        """What the model learned."""

    @abstractmethod
    def _set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Put back what :meth:`_arrays` returned, into a model without any other state."""

    def _require_trained(self) -> None:
        if not self.is_trained:
            raise ValueError(f"this {type(self).__name__} is not trained: call `train()` first.")

    def _mean_response(self, x: Any, rows: np.ndarray, conditions: Conditions) -> np.ndarray:
        """Mean response of control cells, float64 ``(conditions, genes)``."""
        total = np.zeros((len(conditions), len(self.genes)))
        for start in range(0, len(rows), CONTROLS_PER_CHUNK):
            x0 = dense_rows(x, rows[start : start + CONTROLS_PER_CHUNK])
            for i, cells in enumerate(self._respond(x0, conditions)):
                total[i] += cells.sum(axis=0, dtype=np.float64)
        return total / len(rows)
