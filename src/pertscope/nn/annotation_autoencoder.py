"""A variational autoencoder of yes and no."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from pertscope.nn.mlp import mlp
from pertscope.nn.normal_divergence import normal_divergence


class AnnotationAutoencoder(nn.Module):
    """Entities by terms, through a normal latent vector: ``z ~ N(m(x), s(x)^2)``, ``x ~ f(z)``.

    Parameters
    ----------
    n_terms
        Annotations.
    n_dims
        Length of z.
    n_hidden
        Width of the hidden layer of encoder and decoder.
    """

    def __init__(self, n_terms: int, n_dims: int, *, n_hidden: int) -> None:
        super().__init__()
        self.encoder = mlp(n_terms, 2 * n_dims, n_hidden=n_hidden, n_layers=1, dropout=0.0)
        self.decoder = mlp(n_dims, n_terms, n_hidden=n_hidden, n_layers=1, dropout=0.0)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of z, each ``(entities, n_dims)``, of x in [0, 1]."""
        mean, raw = self.encoder(x).chunk(2, dim=1)
        return mean, F.softplus(raw) + 1e-4

    def loss(self, x: Tensor, noise: Tensor) -> Tensor:
        """Negative evidence lower bound in nats, mean over entities.

        Parameters
        ----------
        x
            ``(entities, n_terms)``.
        noise
            Standard normal, ``(entities, n_dims)``.
        """
        mean, sd = self.posterior(x)
        logits = self.decoder(mean + sd * noise)
        surprise = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=1)
        return (surprise + normal_divergence(mean, sd).sum(dim=1)).mean()

    def forward(self, x: Tensor) -> Tensor:
        """Mean of z, ``(entities, n_dims)``."""
        return self.posterior(x)[0]
