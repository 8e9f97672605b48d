"""The base of all response models: the same verbs for baselines and networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd

from pertscope._core.conditions import screen_conditions
from pertscope._core.screen import Screen
from pertscope._core.splits import split_of
from pertscope.models.checks import (
    encoder_input,
    require_genes,
    require_positive,
    require_same,
    require_scale,
)
from pertscope.models.doses import Mixture, at_doses
from pertscope.models.encoding import VECTORS, Vocabulary, training_vocabulary
from pertscope.models.files import read_model, write_model
from pertscope.models.requests import as_prediction, control_rows, wanted_conditions
from pertscope.models.responses import cell_responses, mean_responses, responses_of_means
from pertscope.models.setup_summary import setup_summary

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from anndata import AnnData

    from pertscope._core.conditions import Conditions


class ResponseModel(ABC):
    """A model of the response to perturbations, trained on the train part of a screen.

    A subclass says how it trains, how control cells respond, and which arrays it learned.

    Parameters
    ----------
    adata
        Registered, split screen: on a log or standardised scale, but for likelihoods of counts.
    **settings
        Keyword arguments of the subclass, as JSON holds them.
    """

    name: ClassVar[str]
    """Name under which its predictions are kept by default."""

    affine: ClassVar[bool]
    """Whether the mean response is the response of the mean: one row stands for all controls."""

    tells_perturbations: ClassVar[bool] = True
    """Whether perturbations differ in what it predicts: if not, any can be asked for."""

    knows_doses: ClassVar[bool] = False
    """Whether it predicts a dose, where doses are registered."""

    def __init__(self, adata: AnnData, **settings: Any) -> None:
        self.adata = adata
        self.settings = settings
        self.screen = Screen.of(adata)
        require_scale(adata, self.screen.layer, settings.get("likelihood"), type(self).__name__)
        self.genes = [str(g) for g in adata.var_names]
        self.vocabulary = training_vocabulary(adata, self.screen, with_doses=self.knows_doses)
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

    def view_anndata_setup(self) -> None:
        """Print what the model reads from its screen."""
        print(setup_summary(self.adata, self.screen, self.vocabulary))

    def predict(
        self,
        conditions: pd.DataFrame | Sequence[str] | None = None,
        *,
        adata: AnnData | None = None,
        max_controls: int | None = None,
        cells_per_condition: int | None = None,
        dose: float | None = None,
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
        dose
            Dose of all of them; by default the doses of their cells, in the same shares.
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
        layer, settings = self.screen.layer, self.settings
        require_scale(adata, layer, settings.get("likelihood"), type(self).__name__)
        if dose is not None and not self.knows_doses:
            raise ValueError(f"`dose`={dose}, but {type(self).__name__} knows no doses.")
        observed = screen_conditions(adata, self.screen)
        wanted = wanted_conditions(conditions, observed, split=lambda: split_of(adata, observed))
        plain = Mixture(wanted, np.arange(len(wanted)), np.ones(len(wanted)))
        mixture = at_doses(wanted, dose, observed, adata.obs) if self.knows_doses else plain
        self.vocabulary.encode_covariates(mixture.conditions)  # refuses what it does not know
        if self.tells_perturbations:
            self.vocabulary.encode_perturbations(mixture.conditions)
        x = encoder_input(adata, settings.get("use_rep"), layer)
        rng = np.random.default_rng(seed)
        most = max_controls if cells_per_condition is None else cells_per_condition
        controls = [control_rows(observed, c, most, rng) for c in mixture.conditions.contexts]
        n_rows = np.ones(len(wanted), int)
        if cells_per_condition is not None:
            cells = cell_responses(self._respond, x, controls, mixture, rng)
            n_rows = np.array([len(c) for c in cells])
            result = np.concatenate(cells)
        elif self.affine:
            result = responses_of_means(self._respond, x, controls, mixture, self.genes)
        else:
            result = mean_responses(self._respond, x, controls, mixture, len(self.genes))
        return as_prediction(wanted, n_rows, result, self.genes)

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
        arrays = self._arrays() | self.vocabulary.arrays()
        write_model(path, entry, arrays, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str], adata: AnnData) -> Self:
        """Load a model that :meth:`save` wrote.

        Parameters
        ----------
        path
            Its folder.
        adata
            Registered screen with the same genes in the same order, and covariates it knows. A
            layer other than that of training brings a warning.

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
        model.vocabulary = Vocabulary.from_dict(entry["vocabulary"], arrays)
        require_same(model, adata, entry["screen"])
        history = pd.DataFrame(entry["history"])
        model.history = history.set_index("epoch") if "epoch" in history else pd.DataFrame()
        model._set_arrays({k: v for k, v in arrays.items() if k != VECTORS})
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
