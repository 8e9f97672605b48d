"""How probable an observed cell is under what a decoder says of it."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, final

import torch
from torch import nn
from torch.distributions import NegativeBinomial
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST = 1e-6


class Likelihood(nn.Module):
    """What a decoder's outputs mean.

    Its loss is twice the mean negative log-likelihood over cells and genes, up to a constant: that
    of a normal distribution of unit variance is the mean squared error.
    """

    n_outputs: ClassVar[int] = 1
    """Outputs of the decoder for each gene."""

    of_counts: ClassVar[bool] = False
    """Whether expression is counts; an encoder then sees ``log(1 + x)``."""

    def see(self, x: Tensor) -> Tensor:
        """What an encoder sees of expression, ``(cells, genes)``."""
        return x.log1p() if self.of_counts else x

    @abstractmethod
    def loss(self, outputs: Tensor, x: Tensor) -> Tensor:
        """Loss of cells ``(cells, genes)`` under outputs ``(cells, n_outputs * genes)``."""

    @abstractmethod
    def mean(self, outputs: Tensor, library: Tensor | None) -> Tensor:
        """Expected expression ``(cells, genes)``, of counts in cells with this many."""


@final
class SquaredError(Likelihood):
    """Normal, of unit variance: the outputs are the mean."""

    def loss(self, outputs: Tensor, x: Tensor) -> Tensor:
        """Mean squared error."""
        return functional.mse_loss(outputs, x)

    def mean(self, outputs: Tensor, library: Tensor | None) -> Tensor:
        """The outputs."""
        return outputs


@final
class Gaussian(Likelihood):
    """Normal: the outputs are mean and, by softplus, variance."""

    n_outputs: ClassVar[int] = 2

    def loss(self, outputs: Tensor, x: Tensor) -> Tensor:
        """``mean (x - mean)^2 / variance + log variance``."""
        mean, raw = outputs.chunk(2, dim=1)
        variance = functional.softplus(raw) + SMALLEST
        return ((x - mean).square() / variance + variance.log()).mean()

    def mean(self, outputs: Tensor, library: Tensor | None) -> Tensor:
        """The first half of the outputs."""
        return outputs.chunk(2, dim=1)[0]


class Counts(Likelihood):
    """Counts of cells of a known total: outputs are shares by softmax, spread over the genes.

    Parameters
    ----------
    n_genes
        Genes; each has a dispersion theta of its own: variance ``m + m^2 / theta`` of mean m.
    """

    of_counts: ClassVar[bool] = True

    def __init__(self, n_genes: int) -> None:
        super().__init__()
        self.log_dispersion = nn.Parameter(torch.zeros(n_genes))

    @abstractmethod
    def log_probability(self, outputs: Tensor, x: Tensor) -> Tensor:
        """Of each count, ``(cells, genes)``."""

    def loss(self, outputs: Tensor, x: Tensor) -> Tensor:
        """Twice the mean negative log-likelihood."""
        return -2 * self.log_probability(outputs, x).mean()

    def negative_binomial(self, shares: Tensor, library: Tensor) -> NegativeBinomial:
        """Distribution of counts whose shares these outputs give."""
        log_mean = shares.log_softmax(dim=1) + library.clamp_min(1).log()[:, None]
        theta = self.log_dispersion.exp()
        return NegativeBinomial(
            theta.expand_as(log_mean), logits=log_mean - self.log_dispersion, validate_args=False
        )


@final
class CountsNB(Counts):
    """Negative binomial."""

    def log_probability(self, outputs: Tensor, x: Tensor) -> Tensor:
        """Of each count."""
        return self.negative_binomial(outputs, x.sum(dim=1)).log_prob(x)

    def mean(self, outputs: Tensor, library: Tensor | None) -> Tensor:
        """Share of the total."""
        return self.negative_binomial(outputs, total(library)).mean


@final
class CountsZINB(Counts):
    """Negative binomial, or nothing: the second half of the outputs is the logit of nothing."""

    n_outputs: ClassVar[int] = 2

    def log_probability(self, outputs: Tensor, x: Tensor) -> Tensor:
        """Of each count."""
        shares, nothing = outputs.chunk(2, dim=1)
        there = self.negative_binomial(shares, x.sum(dim=1)).log_prob(x)
        there = there - functional.softplus(nothing)
        zero = torch.logaddexp(there, functional.logsigmoid(nothing))
        return torch.where(x > 0, there, zero)

    def mean(self, outputs: Tensor, library: Tensor | None) -> Tensor:
        """Share of the total, times the probability of something."""
        shares, nothing = outputs.chunk(2, dim=1)
        return self.negative_binomial(shares, total(library)).mean * torch.sigmoid(-nothing)


def total(library: Tensor | None) -> Tensor:
    """The counts of cells, which a mean of counts needs."""
    if library is None:
        raise ValueError("the mean of counts needs the `library` size of the cells.")
    return library


LIKELIHOODS = ("mse", "gaussian", "nb", "zinb")


def make_likelihood(name: str, n_genes: int) -> Likelihood:
    """A likelihood by name.

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    if name == "mse":
        return SquaredError()
    if name == "gaussian":
        return Gaussian()
    if name == "nb":
        return CountsNB(n_genes)
    if name == "zinb":
        return CountsZINB(n_genes)
    raise ValueError(f"`likelihood`={name!r} must be one of {list(LIKELIHOODS)}.")
