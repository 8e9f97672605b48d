"""Effects from the vectors that an encoder gives the perturbed genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from pertscope.nn.effect_layers import effect_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

CELLS_AT_ONCE = 32


class IndexingHead(nn.Module):
    """``g(F(X)[t])``, F(X) the mean over cells of what the encoder makes of each gene.

    Cole et al. (2025), equation 13. t is the perturbed gene; of several, their mean.

    Parameters
    ----------
    n_dims
        Length of the encoder's vectors.
    n_genes
        Genes that are predicted.
    n_hidden
        Widths of the hidden layers of g.
    """

    def __init__(self, n_dims: int, n_genes: int, n_hidden: Sequence[int]) -> None:
        super().__init__()
        self.network = effect_layers(n_dims, n_genes, n_hidden)

    def prepare(self, encoder: nn.Module, cells: Tensor) -> Tensor:
        """F(X), ``(genes, n_dims)``, of control cells ``(cells, genes)``."""
        sums = [encoder(part).float().sum(dim=0) for part in cells.split(CELLS_AT_ONCE)]
        return sum(sums[1:], start=sums[0]) / len(cells)

    def forward(self, encoder: nn.Module, prepared: Tensor, hit: Tensor) -> Tensor:
        """Effects ``(perturbations, n_genes)``.

        Parameters
        ----------
        encoder
            Is not called again.
        prepared
            What :meth:`prepare` returned.
        hit
            1 where a perturbation hits a gene, otherwise 0, ``(perturbations, genes)``; one at
            least for each.
        """
        effects: Tensor = self.network(hit @ prepared / hit.sum(dim=1, keepdim=True))
        return effects
