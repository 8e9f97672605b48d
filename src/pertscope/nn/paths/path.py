"""What leads from one distribution to another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Generator, Tensor

    Field: TypeAlias = Callable[[Tensor, Tensor], Tensor]


class Path(ABC):
    """Where a cell is between start and end, what a network learns there, and the walk by it.

    Coordinates have a variance of about 1.
    """

    n_outputs: ClassVar[int]
    """Numbers that the network gives for each coordinate."""

    from_noise: ClassVar[bool]
    """Whether the walk starts from noise, not from a control cell: the network is shown that."""

    n_steps: ClassVar[int]
    """Steps of a walk, unless another number is asked for."""

    @abstractmethod
    def between(
        self, t: Tensor, z0: Tensor, z1: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Where cells are at time t, and what the network should say there.

        Parameters
        ----------
        t
            Times in [0, 1), ``(cells,)``.
        z0, z1
            Control cells and the perturbed cells that they are matched to, ``(cells, d)``.
        noise
            Standard normal, ``(cells, d)``.

        Returns
        -------
        Times as the network sees them ``(cells,)``, places ``(cells, d)`` and targets
        ``(cells, n_outputs, d)``.
        """

    max_steps: ClassVar[int | None] = None
    """Most steps of a walk, where it has as many times and no more."""

    @abstractmethod
    def walk(
        self, field: Field, z0: Tensor, *, reach: Tensor, n_steps: int, generator: Generator
    ) -> Tensor:
        """Perturbed cells ``(cells, d)``, by what a network says on the way.

        Parameters
        ----------
        field
            The network: of places ``(cells, d)`` and one time ``(1,)``, outputs
            ``(cells, n_outputs, d)``.
        z0
            Control cells, ``(cells, d)``.
        reach
            How far from 0 a perturbed cell may be along each coordinate, ``(d,)``.
        n_steps
            Steps, from 1 to :attr:`max_steps`.
        generator
            Draws all noise.
        """
