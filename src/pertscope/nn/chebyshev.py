"""Filters of a graph's spectrum, as sums of Chebyshev polynomials of its Laplacian."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class ChebyshevFilters(nn.Module):
    """A learned low-pass filter and wavelets, one per scale.

    Of an eigenvalue l of the normalised Laplacian, in [0, 2]: ``h(l) = sum_odd b_k (1 - T_k(l - 1))
    / 2`` and ``g_j(l) = sum_even a_k (1 - T_k(s_j l - 1)) / 2``, k from 1 to `n_terms`, with scales
    s_j in (0, 1). Even terms are zero at l = 0, where wavelets must be; odd ones are 1.

    Parameters
    ----------
    n_terms
        Highest order of the polynomials, at least 2.
    n_scales
        Wavelets.

    References
    ----------
    Liu et al., A general graph spectral wavelet convolution via Chebyshev order decomposition
    (2024), without its tight frames.
    """

    orders: Tensor
    nodes: Tensor
    transform: Tensor

    def __init__(self, *, n_terms: int, n_scales: int) -> None:
        super().__init__()
        orders = torch.arange(1, n_terms + 1)
        n_odd = (n_terms + 1) // 2
        self.low = nn.Parameter(torch.full((n_odd,), 1 / n_odd))
        self.wavelet = nn.Parameter(torch.full((n_terms - n_odd,), 1 / (n_terms - n_odd)))
        start = 2.0 ** -torch.arange(n_scales)  # 1, 1/2, 1/4, ..., the first nearly
        self.scale = nn.Parameter(torch.logit(start.clamp(max=0.95)))
        # values at these nodes say all of a polynomial of this order
        angles = math.pi * (torch.arange(n_terms + 1) + 0.5) / (n_terms + 1)
        transform = 2 / (n_terms + 1) * torch.cos(torch.outer(angles, torch.arange(n_terms + 1.0)))
        transform[:, 0] /= 2
        self.register_buffer("orders", orders)
        self.register_buffer("nodes", 1 + torch.cos(angles))
        self.register_buffer("transform", transform)

    def response(self, eigenvalues: Tensor) -> Tensor:
        """What each filter makes of Laplacian eigenvalues, ``(1 + n_scales, eigenvalues)``."""
        odd, even = self.orders[::2], self.orders[1::2]
        low = self.low @ _terms(eigenvalues, odd)
        wavelets = [self.wavelet @ _terms(s * eigenvalues, even) for s in self.scale.sigmoid()]
        return torch.stack([low, *wavelets])

    def coefficients(self) -> Tensor:
        """The filters as sums of ``T_0(l - 1), T_1(l - 1), ...``, ``(1 + n_scales, n_terms + 1)``.

        Scaled polynomials are polynomials of the same order, so one recursion serves all scales.
        """
        return self.response(self.nodes) @ self.transform


def _terms(eigenvalues: Tensor, orders: Tensor) -> Tensor:
    """``(1 - T_k(l - 1)) / 2``, ``(orders, eigenvalues)``."""
    angle = torch.arccos((eigenvalues - 1).clamp(-1, 1))
    return (1 - torch.cos(orders[:, None] * angle)) / 2
