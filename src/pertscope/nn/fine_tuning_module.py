"""An encoder of genes and a head that predicts effects from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from pertscope.nn.effect_module import EffectModule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pertscope.nn.indexing_head import IndexingHead
    from pertscope.nn.knockout_head import KnockoutHead


class FineTuningModule(EffectModule):
    """``m(c) + head(encoder, controls of c, genes hit)``, m the mean training effect.

    m is that of the covariates of the condition, and what genes get that the head does not predict.

    Parameters
    ----------
    encoder
        Maps ``(cells, genes)`` to ``(cells, genes, n_dims)``.
    head
        What is made of it.
    controls
        Control cells of each combination of covariates, ``(cells, genes)``.
    means
        Mean training effect of each, ``(combinations, predicted genes)``.
    columns
        Which of the predicted genes the head predicts, int64.
    n_cells
        Control cells that a training step draws; predictions take all.
    """

    means: Tensor
    columns: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        head: IndexingHead | KnockoutHead,
        *,
        controls: Sequence[Tensor],
        means: Tensor,
        columns: Tensor,
        n_cells: int,
    ) -> None:
        super().__init__()
        self.encoder, self.head, self.n_cells = encoder, head, n_cells
        for i, cells in enumerate(controls):
            self.register_buffer(f"controls_{i}", cells, persistent=False)
        self.register_buffer("means", means, persistent=False)
        self.register_buffer("columns", columns, persistent=False)
        self._prepared: dict[int, Tensor] = {}

    def train(self, mode: bool = True) -> Self:
        """Switch between training and prediction; what was made of the controls is forgotten.

        An encoder of which no weight is trained always predicts: its averages would move otherwise.
        """
        self._prepared = {}
        super().train(mode)
        if not any(weights.requires_grad for weights in self.encoder.parameters()):
            self.encoder.eval()
        return self

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Effects ``(conditions, predicted genes)``, and no further loss.

        Of the places of the genes hit, -1 for none, int64 ``(conditions, most)``, and the
        combination of covariates, int64 ``(conditions,)``.
        """
        genes, context = inputs
        effects = self.means[context]
        for i in context.unique().tolist():
            rows = torch.nonzero(context == i)[:, 0]
            cells: Tensor = getattr(self, f"controls_{i}")
            found = self.head(self.encoder, self._prepare(i, cells), hits(genes[rows], cells))
            effects = effects.index_put((rows[:, None], self.columns), found, accumulate=True)
        return effects, effects.new_zeros(())

    def _prepare(self, i: int, cells: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            if self.training and len(cells) > self.n_cells:
                drawn = torch.randperm(len(cells))[: self.n_cells]
                cells = cells[drawn.to(cells.device)]
            return self.head.prepare(self.encoder, cells)
        if i not in self._prepared:  # all conditions of the context share it
            self._prepared[i] = self.head.prepare(self.encoder, cells)
        return self._prepared[i]


def hits(genes: Tensor, like: Tensor) -> Tensor:
    """1 where a condition hits a gene, otherwise 0, ``(conditions, genes)`` as `like` has them."""
    n = like.shape[1]
    hit = like.new_zeros(len(genes), n + 1)
    hit.scatter_(1, torch.where(genes < 0, n, genes), 1.0)
    return hit[:, :n]


class EncoderMissing(EffectModule):
    """Keeps weights whose encoder is not there, and can do nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: dict[str, Tensor] = {}

    def load_state_dict(self, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep the weights."""
        self.weights = dict(state_dict)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The weights as they were given."""
        return self.weights

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Say what is missing."""
        raise ValueError(
            "the encoder of a loaded model is code, which no saved model holds: hand it over, "
            "`model.attach_encoder(encoder)`."
        )
