"""An encoder of genes, trained further to predict effects."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np
import torch

from pertscope._core.conditions import screen_conditions
from pertscope.models.checks import require_positive
from pertscope.models.control_means import places_of
from pertscope.models.effect_network import EffectNetwork
from pertscope.models.response._embedding_features import say_what_is_missing
from pertscope.models.response.fine_tuning.controls import as_seen, drawn_controls, mean_controls
from pertscope.models.response.fine_tuning.encoders import (
    genes_of,
    own_encoder,
    rebuilt,
    shape_of,
    width_of,
)
from pertscope.models.response.fine_tuning.heads import INDEXING, KNOCKOUT, N_HIDDEN, head_of
from pertscope.models.response.fine_tuning.perturbed_genes import (
    gene_places,
    genes_hit,
    is_placed,
    refuse_other_labels,
)
from pertscope.models.response.fine_tuning.trained_weights import WEIGHTS, free_weights
from pertscope.nn.fine_tuning_module import EncoderMissing, FineTuningModule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from torch import nn

    from pertscope._core.conditions import Conditions
    from pertscope.nn.effect_module import EffectModule


@final
class FineTuning(EffectNetwork):
    """Fine-tunes an encoder of genes to the effects of perturbing them.

    The encoder f gives each gene of each cell a vector: a foundation model, or a small one trained
    here. A head g makes effects of it, m is the mean training effect of the covariates:

    - ``"indexing"``: ``m + g(mean_i f(x_i)[t])``, x the control cells, t the perturbed gene; of
      several, the mean of their vectors. g predicts all genes at once.
    - ``"knockout"``: ``m + g(f(Q y))``, y the mean control, Q zero at the perturbed genes and one
      elsewhere. g predicts each gene from its vector; genes that the encoder lacks get m.

    Covariates differ in their controls alone, so a line without a perturbation can be predicted.
    Perturbations of genes that the encoder does not know are left out in training, and predicted
    by m.

    Parameters
    ----------
    adata
        Registered, split screen: of cells on the scale that the encoder was trained on, or of
        effects (:func:`pertscope.tl.effects`), which holds the mean of the controls.
    encoder
        Torch module ``(cells, genes)`` to ``(cells, genes, width)``; it stays as it is, a copy is
        trained. By default a :func:`pertscope.tl.train_gene_encoder` of the training controls.
    head
        ``"indexing"`` or ``"knockout"``.
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
        Widths of the hidden layers of g; by default 1024 and 2048, or 64 and 32 of ``"knockout"``.
    n_cells
        Control cells that a step of ``"indexing"`` draws.
    max_controls
        Control cells of each combination of covariates that a prediction averages over.
    seed
        Seed of weights, order, draws, and of the perturbations to validate on.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction (2025), 4.8.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=6, n_genes=30, seed=0)
    >>> ps.models.FineTuning.setup_anndata(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_unseen(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> encoder = ps.tl.train_gene_encoder(adata, n_dims=8, max_epochs=1)
    >>> model = ps.models.FineTuning(adata, encoder=encoder, head="knockout")
    >>> model.train(max_epochs=1)
    >>> model.predict().n_vars
    30
    """

    name: ClassVar[str] = "fine_tuning"
    _encoder: nn.Module | None = None

    def __init__(
        self,
        adata: AnnData,
        *,
        encoder: nn.Module | None = None,
        head: str = INDEXING,
        weights: str = "all",
        rank: int = 8,
        encoder_genes: Sequence[str] | None = None,
        alias: Mapping[str, str] | None = None,
        n_hidden: Sequence[int] | None = None,
        n_cells: int = 16,
        max_controls: int = 128,
        seed: int = 0,
    ) -> None:
        if head not in N_HIDDEN:
            raise ValueError(f"`head`={head!r} must be {INDEXING!r} or {KNOCKOUT!r}.")
        if weights not in WEIGHTS:
            raise ValueError(f"`weights`={weights!r} must be one of {WEIGHTS}.")
        hidden = list(N_HIDDEN[head] if n_hidden is None else n_hidden)
        least = min(hidden, default=None)
        require_positive(rank=rank, n_cells=n_cells, max_controls=max_controls, n_hidden=least)
        if encoder is None and encoder_genes is not None:
            raise ValueError("`encoder_genes` names the genes of an `encoder`: pass both.")
        super().__init__(
            adata,
            encoder=None if encoder is None else type(encoder).__name__,
            head=head,
            weights=weights,
            rank=rank,
            n_hidden=hidden,
            n_cells=n_cells,
            max_controls=max_controls,
            seed=seed,
        )
        self._genes = list(self.genes)
        if encoder is not None:
            self._genes = genes_of(encoder, encoder_genes, self.genes)
            width_of(encoder, len(self._genes))
            self._encoder = encoder
        parts = {p for c in screen_conditions(adata, self.screen).components for p in c}
        embedding = gene_places(self._genes, parts, alias or {})
        self.vocabulary = replace(self.vocabulary, embedding=embedding)

    def attach_encoder(self, encoder: nn.Module) -> None:
        """Hand over the encoder of a loaded model, whose weights are then put into a copy of it.

        A model of :func:`pertscope.tl.train_gene_encoder` needs it only to be trained again.

        Parameters
        ----------
        encoder
            Torch module of the same architecture.

        Raises
        ------
        ValueError
            If the saved weights do not fit it, or the model is not trained.
        """
        if not self.is_trained:
            raise ValueError("a model that is not trained takes its `encoder` when it is made.")
        width_of(encoder, len(self._encoder_genes))
        self._encoder, module = encoder, self.module
        if isinstance(module, EncoderMissing):
            try:
                self._set_arrays(self._arrays())
            except ValueError:
                self._encoder, self.module = None, module
                raise

    @property
    def _encoder_genes(self) -> list[str]:
        return self._fixed["encoder_genes"].tolist() if self._fixed else self._genes

    def _known(self, conditions: Conditions) -> np.ndarray:
        return is_placed(conditions, self.vocabulary)

    def _predictable(self, conditions: Conditions) -> np.ndarray:
        return self._known(conditions)

    def _require_known(self, train: Conditions, held_out: Conditions) -> None:
        refuse_other_labels(train, held_out, self.vocabulary)
        say_what_is_missing(
            "genes of the encoder",
            training=(train.index, self._known(train)),
            held_out=(held_out.index, self._known(held_out)),
        )

    def _fix(self, train: Conditions, _: np.ndarray) -> dict[str, np.ndarray]:
        settings, seed = self.settings, self.settings["seed"]
        screen = self.adata, self.screen
        if settings["encoder"] is None:
            self._encoder = own_encoder(*screen, seed=seed, accelerator=self._accelerator)
        if self._encoder is None:
            raise ValueError(
                "a loaded model is trained again from the encoder as it was: hand it over, "
                "`model.attach_encoder(encoder)`."
            )
        if settings["head"] == KNOCKOUT:
            names, cells, context = mean_controls(*screen)
        else:
            names, cells, context = drawn_controls(*screen, settings["max_controls"], seed)
        genes = self._encoder_genes
        return {
            "encoder_genes": np.array(genes),
            "encoder_shape": shape_of(self._encoder),
            "contexts": names,
            "controls": as_seen(cells, self.genes, genes),
            "control_context": context,
        }

    def _build(self, mean: torch.Tensor) -> EffectModule:
        settings, fixed = self.settings, self._fixed
        genes = self._encoder_genes
        encoder = copy.deepcopy(self._encoder)
        if encoder is None:
            encoder = rebuilt(genes, fixed["encoder_shape"])
        if encoder is None:
            return EncoderMissing()
        width = width_of(encoder.cpu(), len(genes))
        free_weights(encoder, settings["weights"], settings["rank"])
        named = {"genes": self.genes, "encoder_genes": genes}
        head, columns = head_of(settings["head"], width, settings["n_hidden"], **named)
        cells, of = torch.from_numpy(fixed["controls"]), fixed["control_context"]
        at = {name: i for i, name in enumerate(self._means["contexts"].tolist())}
        rows = [at.get(name, -1) for name in fixed["contexts"].tolist()]
        return FineTuningModule(
            encoder,
            head,
            controls=[cells[of == i] for i in range(len(rows))],
            means=torch.from_numpy(self._means["effects"][rows]),
            columns=columns,
            n_cells=settings["n_cells"],
        )

    def _inputs(self, conditions: Conditions) -> tuple[torch.Tensor, ...]:
        genes = genes_hit(conditions, self.vocabulary)
        context = places_of(conditions, self._fixed["contexts"])
        return torch.from_numpy(genes), torch.from_numpy(context)
