"""The perturbed cells of a pass, in random order: from memory, or from disk block by block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any, final

import numpy as np
import scipy.sparse as sp
import torch

from pertscope._core.matrix import row_block
from pertscope.data.rows import Rows, SparseBatch, sparse_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    Part = tuple[np.ndarray, torch.Tensor | SparseBatch]

Turn = tuple[int, int]
ALONE: Turn = (0, 1)

ROWS_PER_READ = 512
SHUFFLED_BYTES = 128 * 2**20
"""Rows that are read at once from places at random, and shuffled among each other."""


class PerturbedCells(ABC):
    """Rows that a pass goes through once."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows

    @abstractmethod
    def batches(
        self, batch_size: int, rng: np.random.Generator | None, turn: Turn = ALONE
    ) -> Iterator[Part]:
        """Places in `rows` of the cells of a batch, with their values.

        Parameters
        ----------
        batch_size
            Cells per batch.
        rng
            Draws the order; without it cells come in the order of `rows`.
        turn
            Number of this process and of all that share a pass: each gets every so-manieth batch.
        """


@final
class HeldCells(PerturbedCells):
    """Cells of a matrix in memory, in an order that is wholly random."""

    def __init__(self, read: Rows, rows: np.ndarray) -> None:
        super().__init__(rows)
        self.read = read

    def batches(
        self, batch_size: int, rng: np.random.Generator | None, turn: Turn = ALONE
    ) -> Iterator[Part]:
        """Batches in random order."""
        n = len(self.rows)
        order = np.arange(n) if rng is None else rng.permutation(n)
        number, of = turn
        for start in range(number * batch_size, n, of * batch_size):
            cells = order[start : start + batch_size]
            yield cells, self.read(self.rows[cells])


@final
class StoredCells(PerturbedCells):
    """Cells of a matrix on disk, shuffled among blocks from places at random.

    A pass reads runs of `ROWS_PER_READ` neighbouring rows in random order, and shuffles as many of
    them as fit `SHUFFLED_BYTES`; the next ones are read while these train. So a batch mixes cells
    from all over the file, though not every order is as likely as in memory.

    Parameters
    ----------
    x
        Cells x genes on disk, cut along its rows: CSR, dense or dask.
    rows
        Rows of the perturbed cells, sorted.
    """

    def __init__(self, x: Any, rows: np.ndarray) -> None:
        super().__init__(rows)
        self.x = x
        edges = _edges(x)
        self.runs = [
            (start, stop, np.arange(*np.searchsorted(rows, [start, stop])))
            for start, stop in pairwise(edges.tolist())
        ]
        self.runs = [run for run in self.runs if len(run[2])]

    def batches(
        self, batch_size: int, rng: np.random.Generator | None, turn: Turn = ALONE
    ) -> Iterator[Part]:
        """Batches of a pass; the last one of a block waits for the next block."""
        order = np.arange(len(self.runs))
        if rng is not None:
            rng.shuffle(order)
        row_bytes = self._row_bytes()
        mean_rows = np.mean([stop - start for start, stop, _ in self.runs])
        n_runs = max(1, int(SHUFFLED_BYTES / row_bytes / mean_rows))
        blocks = [order[i : i + n_runs] for i in range(0, len(order), n_runs)]
        left: Any = None
        number, of = turn
        done = 0
        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(self._read, blocks[0])
            for i in range(len(blocks)):
                cells, values = coming.result()
                if i + 1 < len(blocks):
                    coming = reader.submit(self._read, blocks[i + 1])
                if left is not None:
                    cells = np.concatenate([left[0], cells])
                    values = _stack([left[1], values])
                if rng is not None:
                    mixed = rng.permutation(len(cells))
                    cells, values = cells[mixed], values[mixed]
                last = i + 1 == len(blocks)
                n = len(cells) if last else len(cells) - len(cells) % batch_size
                for start in range(0, n, batch_size):
                    stop = min(start + batch_size, n)
                    if done % of == number:
                        yield cells[start:stop], _batch(values[start:stop])
                    done += 1
                left = (cells[n:], values[n:])

    def _read(self, runs: np.ndarray) -> tuple[np.ndarray, Any]:
        """Cells of some runs, read in the order of the file."""
        parts, places = [], []
        for run in np.sort(runs):
            start, stop, cells = self.runs[run]
            block = row_block(self.x, start, stop)
            parts.append(Rows(block).x[self.rows[cells] - start])
            places.append(cells)
        return np.concatenate(places), _stack(parts)

    def _row_bytes(self) -> float:
        """Size of a row in memory, judged by the first run."""
        start, stop, _ = self.runs[0]
        block: Any = Rows(row_block(self.x, start, stop)).x
        size = block.data.nbytes + block.indices.nbytes if sp.issparse(block) else block.nbytes
        return max(size / block.shape[0], 1)


def _edges(x: Any) -> np.ndarray:
    """Where runs of rows begin and end: at chunks of dask, which are computed as a whole."""
    if hasattr(x, "chunks") and hasattr(x, "compute"):
        return np.concatenate([[0], np.cumsum(x.chunks[0])])
    return np.append(np.arange(0, x.shape[0], ROWS_PER_READ), x.shape[0])


def _stack(parts: list[Any]) -> Any:
    return sp.vstack(parts, format="csr") if sp.issparse(parts[0]) else np.concatenate(parts)


def _batch(values: Any) -> torch.Tensor | SparseBatch:
    return sparse_batch(values) if sp.issparse(values) else torch.from_numpy(values)
