"""The base of response models that are networks."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import torch

from pertscope._core.conditions import screen_conditions
from pertscope._core.keys import CONTROL_MEAN, TRAIN, VAL
from pertscope._core.matrix import matrix_of, stored_sample
from pertscope._core.perturbation_embedding import read_embedding
from pertscope._core.splits import split_of
from pertscope.models.base import ResponseModel
from pertscope.models.checkpoint import Checkpoint, digest
from pertscope.models.checks import encoder_input, require_agreement, require_dims, require_positive
from pertscope.models.doses import treatments
from pertscope.models.feeding import require_readable, train_and_val
from pertscope.models.fitting import fit
from pertscope.models.isolation import own_random_state, quiet_lightning
from pertscope.models.plans import plan_of

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from anndata import AnnData

    from pertscope._core.conditions import Conditions
    from pertscope.models.keep_best import OnEpoch
    from pertscope.nn.response_module import ResponseModule


class NetworkModel(ResponseModel):
    """A response model whose response is a torch module.

    Trains on pairs of a perturbed cell and a random control cell of the same covariates, drawn
    anew in every epoch, by the loss of the module.
    """

    knows_doses: ClassVar[bool] = True
    module: ResponseModule

    def __init__(self, adata: AnnData, *, seed: int, **settings: Any) -> None:
        require_agreement(settings)
        super().__init__(adata, seed=seed, **settings)
        encoder_input(adata, settings.get("use_rep"), self.screen.layer)  # refuses what is no input
        name = settings.get("perturbation_embedding")
        if name is not None:
            embedding = read_embedding(adata, name)
            embedding.of([(p,) for p in self.vocabulary.perturbations])  # refuses what has no row
            self.vocabulary = replace(self.vocabulary, embedding=embedding)
        with own_random_state(seed):
            self.module = self._build()

    def train(
        self,
        *,
        max_epochs: int = 500,
        batch_size: int = 256,
        lr: float = 1e-3,
        weight_decay: float = 1e-5,
        early_stopping: bool = True,
        patience: int = 50,
        lr_patience: int = 15,
        gradient_clip: float | None = None,
        n_controls: int = 1,
        matching: str = "random",
        accelerator: str = "auto",
        devices: int = 1,
        strategy: str = "auto",
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_seconds: float = 60,
        on_epoch: OnEpoch | None = None,
    ) -> None:
        """Train on the train part; the weights with the best validation loss are kept.

        Called again it goes on from there, for at most `max_epochs` more.

        The matrix may lie on disk (h5ad or zarr, by rows; dask): blocks of it are read in random
        order while others train.

        Parameters
        ----------
        max_epochs
            Most passes over the perturbed cells of the train part.
        batch_size
            Cells per step.
        lr, weight_decay
            Of Adam, or AdamW (generative). The rate falls to a fifth where validation stalls.
        early_stopping
            Stop after `patience` epochs without a better validation loss; needs a val part.
        patience, lr_patience
            Epochs without improvement before training stops, and before the rate falls.
        gradient_clip
            Largest norm of a gradient; none by default.
        n_controls
            Controls that a perturbed cell is matched to, averaged. Networks that take cells apart
            or carry them see single cells: 1.
        matching
            ``"random"`` draws any control of the cell's covariates; ``"transport"`` by the optimal
            transport plan between the controls and cells of a condition, in principal components
            (``pip install 'pertscope[ot]'``).
        accelerator
            ``"auto"`` takes a GPU where there is one; otherwise Lightning's names.
        devices, strategy
            Devices that share the batches of a pass, and how: Lightning's names, ``"ddp"`` in a
            script (``"ddp_find_unused_parameters_true"`` for CPA's adversary), each `batch_size`.
        checkpoint
            Folder for the state of the training, written between epochs and removed at the end.
            After a kill the same call goes on from there, and ends with the weights that it would
            have had.
        checkpoint_seconds
            Time between two writes.
        on_epoch
            Called after each epoch with its number and its losses by name; what it raises ends the
            training.

        Raises
        ------
        ValueError
            If an argument is out of range, early stopping has no val part, the loss is no number
            any more, or the checkpoint is another training's.
        MemoryError
            If the device has no memory left.
        """
        require_positive(max_epochs=max_epochs, batch_size=batch_size, n_controls=n_controls)
        if n_controls > 1 and self.module.of_single_cells:
            raise ValueError(
                f"`n_controls`={n_controls}: {type(self).__name__} learns from single cells, a "
                "mean of controls is none."
            )
        x = matrix_of(self.adata, self.screen.layer)
        require_readable(x, matching)
        use_rep = self.settings.get("use_rep")
        seen = None if use_rep is None else encoder_input(self.adata, use_rep, None)
        conditions = screen_conditions(self.adata, self.screen)
        applied, treatment = treatments(self.adata.obs, conditions)
        part = split_of(self.adata, conditions)
        seed = self.settings["seed"]
        train, val = train_and_val(
            x,
            conditions,
            treatment,
            part,
            need_val=early_stopping,
            of_effects=CONTROL_MEAN in self.adata.layers,
            batch_size=batch_size,
            seed=seed,
            n_controls=n_controls,
            matching=matching,
            of_counts=self.module.likelihood.of_counts,
            representation=seen,
        )
        steps: dict[str, Any] = {
            "lr": lr,
            "weight_decay": weight_decay,
            "lr_patience": lr_patience,
            "gradient_clip": gradient_clip,
        }
        used = np.unique(treatment[(part == TRAIN) | (part == VAL)])
        vectors = self._encode(applied, used)
        kept = None
        if checkpoint is not None:
            masks, shown = (part == TRAIN, part == VAL), () if seen is None else (seen,)
            data = digest(self.genes, treatment, *masks, *vectors, stored_sample(x), *shown)
            feeding = {"batch_size": batch_size, "n_controls": n_controls, "matching": matching}
            feeding |= {"devices": devices, "layer": self.screen.layer}
            identity = {"model": self.name, "data": data, **self.settings, **steps, **feeding}
            kept = Checkpoint(Path(checkpoint), identity, checkpoint_seconds)
        with own_random_state(seed + 1), quiet_lightning():
            plan = plan_of(self.module)(self.module, *vectors, seed=seed, **steps)
            history = fit(
                plan,
                train,
                val,
                max_epochs=max_epochs,
                patience=patience if early_stopping else None,
                accelerator=accelerator,
                devices=devices,
                strategy=strategy,
                on_epoch=on_epoch,
                checkpoint=kept,
                earlier=self.history.reset_index().to_dict(orient="records"),
            )
        self.history = pd.DataFrame(history).set_index("epoch")
        self.is_trained = True

    @cached_property  # as the module was built, whatever becomes of the screen
    def n_inputs(self) -> int:
        """Length of what an encoder sees of a cell: its genes, or a representation."""
        use_rep = self.settings.get("use_rep")
        return len(self.genes) if use_rep is None else self.adata.obsm[use_rep].shape[1]

    def seen(self, x: torch.Tensor) -> torch.Tensor:
        """What the encoder sees of cells of :func:`encoder_input`."""
        use_rep = self.settings.get("use_rep")
        require_dims(use_rep, x.shape[1], self.n_inputs)
        return x if use_rep else self.module.likelihood.see(x)

    @property
    def module_settings(self) -> dict[str, Any]:
        """Settings of the module: those that say nothing of data or seed."""
        outside = ("seed", "use_rep", "perturbation_embedding")
        return {k: v for k, v in self.settings.items() if k not in outside}

    @abstractmethod
    def _build(self) -> ResponseModule:
        """The module, from the settings, sizes and vocabulary of this model."""

    def _encode(self, applied: Conditions, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of all treatments; zeros for those that training does not use."""
        chosen, n = applied.take(used), len(applied)
        perturbations = np.zeros((n, self.vocabulary.n_perturbation_inputs), np.float32)
        covariates = np.zeros((n, self.vocabulary.n_covariates), np.float32)
        perturbations[used] = self.vocabulary.encode_perturbations(chosen)
        covariates[used] = self.vocabulary.encode_covariates(chosen)
        return perturbations, covariates

    def _respond(self, x0: np.ndarray, conditions: Conditions) -> Iterator[np.ndarray]:
        perturbations = torch.from_numpy(self.vocabulary.encode_perturbations(conditions))
        covariates = torch.from_numpy(self.vocabulary.encode_covariates(conditions))
        with torch.inference_mode():
            control = torch.from_numpy(np.ascontiguousarray(x0, dtype=np.float32))
            library = control.sum(dim=1) if self.module.likelihood.of_counts else None
            state = self.module.encode(self.seen(control), covariates[:1])
            for p in perturbations:
                yield self.module.decode(state, p[None], covariates[:1], library).numpy()

    def _arrays(self) -> dict[str, np.ndarray]:
        return {k: v.numpy() for k, v in self.module.state_dict().items()}

    def _set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        with own_random_state(0):
            self.module = self._build()
        try:
            self.module.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()})
        except RuntimeError as error:
            raise ValueError(
                f"the saved weights do not fit cells of {self.n_inputs} input dimensions and this "
                f"version of {type(self).__name__}: {error}"
            ) from error
        self.module.eval()
