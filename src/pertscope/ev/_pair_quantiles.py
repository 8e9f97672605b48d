"""Order statistics of all pairwise cosines, without holding them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.threads import in_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK_VALUES = 2**18
"""Cosines that are computed at a time."""
FEW = 2**22
"""Cosines that may be collected and sorted once leading bits are known."""
MOST_INSIDE = 1 / 16
"""Share of a block that may be collected before that."""
N_SAMPLED = 2**15
"""Pairs that say about where an order statistic lies."""
DIGIT_BITS, KEY_BITS = 16, 64


def pair_order_statistics(unit: np.ndarray, ranks: list[int]) -> list[float]:
    """Cosines of some ranks, counted from 0, among those of all pairs i < j, exactly.

    One pass counts what lies below an interval that a sample of pairs suggests, and collects what
    lies inside. Where the rank is not there, or too many are, :func:`order_statistics` finds it.

    Parameters
    ----------
    unit
        Vectors of length 1, or 0, float64 ``(n, d)``.
    ranks
        Ranks below ``n (n - 1) / 2``.
    """
    intervals = _intervals(unit, ranks)
    counted = in_threads(_count, ((unit, rows, intervals) for rows in _row_blocks(len(unit))))
    found = []
    for i, rank in enumerate(ranks):
        below, n_inside, kept = zip(*(block[i] for block in counted), strict=True)
        inside, place = np.concatenate(kept), rank - sum(below)
        if 0 <= place < len(inside) == sum(n_inside):
            found.append(float(np.partition(inside, place)[place]))
        else:
            found += order_statistics(lambda: pair_values(unit), [rank])
    return found


def _count(
    unit: np.ndarray, rows: slice, intervals: list[tuple[float, float]]
) -> list[tuple[int, int, np.ndarray]]:
    """Of the pairs of a block: how many lie below each interval, inside, and those inside.

    The latter are left out where they are a good part of the block.
    """
    parts = list(_block_values(unit, rows))
    counted = []
    for low, high in intervals:
        inside = np.concatenate([v[(v >= low) & (v <= high)] for v in parts])
        few = len(inside) <= MOST_INSIDE * sum(v.size for v in parts) + 64
        below = sum(int(np.count_nonzero(v < low)) for v in parts)
        counted.append((below, len(inside), inside if few else inside[:0]))
    return counted


def _intervals(unit: np.ndarray, ranks: list[int]) -> list[tuple[float, float]]:
    """Where the cosines of some ranks lie but for one time in a thousand million."""
    n = len(unit)
    rng = np.random.default_rng(0)
    i = rng.integers(0, n, N_SAMPLED)
    j = (i + rng.integers(1, n, N_SAMPLED)) % n
    sample = np.sort(np.einsum("ij,ij->i", unit[i], unit[j]))
    intervals = []
    for rank in ranks:
        share = rank / (n * (n - 1) / 2)
        middle, margin = share * N_SAMPLED, 6 * np.sqrt(N_SAMPLED * share * (1 - share)) + 6
        first, last = int(middle - margin), int(np.ceil(middle + margin))
        intervals.append(
            (
                sample[first] if first >= 0 else -np.inf,
                sample[last] if last < N_SAMPLED else np.inf,
            )
        )
    return intervals


def pair_values(unit: np.ndarray) -> Iterator[np.ndarray]:
    """Cosines of all pairs i < j, by blocks."""
    for rows in _row_blocks(len(unit)):
        for values in _block_values(unit, rows):
            yield values.ravel()


def _row_blocks(n: int) -> Iterator[slice]:
    """Rows whose cosines with all later rows are a block."""
    start = 0
    while start < n - 1:
        stop = min(n, start + max(1, BLOCK_VALUES // (n - start)))
        yield slice(start, stop)
        start = stop


def _block_values(unit: np.ndarray, rows: slice) -> Iterator[np.ndarray]:
    """Cosines of some rows with each other, and with all later rows."""
    own = unit[rows] @ unit[rows].T
    yield own[np.triu_indices(len(own), 1)]
    yield unit[rows] @ unit[rows.stop :].T


@dataclass
class _Search:
    """What is known of one order statistic: its leading bits, and its rank among those with them.

    Attributes
    ----------
    rank
        Rank among the values that begin with `prefix`.
    bits, prefix
        Number of bits that are known, and these.
    few
        Whether the values that begin so are few enough to be collected.
    """

    rank: int
    bits: int = 0
    prefix: int = 0
    few: bool = False
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    kept: list[np.ndarray] = field(default_factory=list)
    found: float | None = None

    def start_pass(self) -> None:
        self.counts = np.zeros(2**DIGIT_BITS, np.int64)
        self.kept = []

    def see(self, ordered: np.ndarray) -> None:
        """Count the next digit of the values that begin as this one, or collect them."""
        if self.bits:
            ordered = ordered[(ordered >> np.uint64(KEY_BITS - self.bits)) == self.prefix]
        if self.few:
            self.kept.append(ordered)
            return
        digit = (ordered >> np.uint64(KEY_BITS - self.bits - DIGIT_BITS)).astype(np.int64)
        digit &= 2**DIGIT_BITS - 1
        self.counts += np.bincount(digit, minlength=2**DIGIT_BITS)

    def end_pass(self) -> None:
        if self.few:
            inside = np.concatenate(self.kept)
            self.found = _value(np.partition(inside, self.rank)[self.rank])
            return
        through = np.cumsum(self.counts)
        digit = int(np.searchsorted(through, self.rank, side="right"))
        self.rank -= int(through[digit] - self.counts[digit])
        self.prefix = self.prefix << DIGIT_BITS | digit
        self.bits += DIGIT_BITS
        self.few = bool(self.counts[digit] <= FEW)
        if self.bits == KEY_BITS:
            self.found = _value(np.uint64(self.prefix))


def order_statistics(values: Callable[[], Iterator[np.ndarray]], ranks: list[int]) -> list[float]:
    """Values of some ranks, counted from 0, among all that `values` yields, exactly.

    Their bits are found from the front, 16 at a time, each by one pass over the values, until few
    enough are left to be sorted.

    Parameters
    ----------
    values
        Yields blocks of float64; called several times, with the same values each time.
    ranks
        Ranks, each below the number of values.
    """
    searches = [_Search(rank) for rank in ranks]
    while waiting := [s for s in searches if s.found is None]:
        for search in waiting:
            search.start_pass()
        for block in values():
            ordered = _ordered(block)
            for search in waiting:
                search.see(ordered)
        for search in waiting:
            search.end_pass()
    return [s.found for s in searches if s.found is not None]


def _ordered(values: np.ndarray) -> np.ndarray:
    """Unsigned integers in the order of the values; -0 is 0."""
    bits = (values + 0.0).view(np.uint64)
    negative = bits >> np.uint64(KEY_BITS - 1) == 1
    return np.where(negative, ~bits, bits | np.uint64(2 ** (KEY_BITS - 1)))


def _value(ordered: np.uint64) -> float:
    """The value of :func:`_ordered`."""
    sign = np.uint64(2 ** (KEY_BITS - 1))
    bits = ordered ^ sign if ordered & sign else ~ordered
    return float(np.array([bits], np.uint64).view(np.float64)[0])
