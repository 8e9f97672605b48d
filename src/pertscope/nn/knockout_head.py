"""Effects from what an encoder makes of a cell that lacks the perturbed genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from pertscope.nn.effect_layers import effect_layers

if TYPE_CHECKING:
    from collections.abc import Sequence


class KnockoutHead(nn.Module):
    """``g(f(Q y))``, y the mean control cell and Q zero at the perturbed genes, one elsewhere.

    Cole et al. (2025), equation 15. g maps the vector of each gene to its effect.

    Parameters
    ----------
    n_dims
        Length of the encoder's vectors.
    genes
        Which of the encoder's genes are predicted, int64 ``(n_genes,)``.
    n_hidden
        Widths of the hidden layers of g.
    """

    genes: Tensor

    def __init__(self, n_dims: int, genes: Tensor, n_hidden: Sequence[int]) -> None:
        super().__init__()
        self.network = effect_layers(n_dims, 1, n_hidden)
        self.register_buffer("genes", genes, persistent=False)

    def prepare(self, encoder: nn.Module, cells: Tensor) -> Tensor:
        """y, ``(genes,)``, of control cells or their mean ``(cells, genes)``."""
        return cells.mean(dim=0)

    def forward(self, encoder: nn.Module, prepared: Tensor, hit: Tensor) -> Tensor:
        """Effects ``(perturbations, n_genes)``.

        Parameters
        ----------
        encoder
            Maps ``(cells, genes)`` to ``(cells, genes, n_dims)``.
        prepared
            What :meth:`prepare` returned.
        hit
            1 where a perturbation hits a gene, otherwise 0, ``(perturbations, genes)``.
        """
        vectors = encoder(prepared * (1 - hit))
        effects: Tensor = self.network(vectors[:, self.genes].float())[:, :, 0]
        return effects
