"""Arguments of a simulated screen, checked before anything is drawn."""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

#: Columns that the simulation itself writes to ``obs``.
RESERVED_COLUMNS = ("perturbation", "batch", "guide_positive", "library_size", "n_cells")


@dataclass(frozen=True)
class Settings:
    """Checked arguments of :func:`pertscope.datasets.simulate_screen`, see there."""

    n_perturbations: int
    n_combinations: int
    n_genes: int
    n_cells_per_condition: int
    n_controls: int
    covariates: dict[str, tuple[str, ...]]
    n_programs: int
    effect_size: float
    shared_effect: float
    knockdown: float
    fraction_interacting: float
    combinations_in: Literal["all", "first"]
    covariate_effect: float
    covariate_modulation: float
    diffusion_time: float
    n_batches: int
    batch_effect: float
    guide_efficiency: float
    dispersion: float
    mean_library_size: float
    library_size_sd: float
    seed: int

    def __post_init__(self) -> None:
        for name, lowest in _LOWEST_COUNT.items():
            _check_count(name, getattr(self, name), lowest)
        for name, (low, high) in _RANGES.items():
            _check_range(name, getattr(self, name), low, high)
        if self.knockdown == 1:
            raise ValueError("`knockdown` must be below 1: a target without any transcript left "
                             "has no log fold change; use e.g. 0.95.")  # fmt: skip
        if not self.mean_library_size > 0:
            raise ValueError(f"`mean_library_size` must be above 0, got {self.mean_library_size}.")
        if self.n_perturbations > self.n_genes:
            raise ValueError(
                f"`n_perturbations` ({self.n_perturbations}) exceeds `n_genes` ({self.n_genes}): "
                "every perturbation targets another gene of the screen."
            )
        n_pairs = self.n_perturbations * (self.n_perturbations - 1) // 2
        if self.n_combinations > n_pairs:
            raise ValueError(
                f"`n_combinations` is {self.n_combinations}, but {self.n_perturbations} "
                f"perturbations form only {n_pairs} pairs."
            )
        if self.combinations_in not in ("all", "first"):
            raise ValueError(
                f'`combinations_in` must be "all" or "first", got {self.combinations_in!r}.'
            )

    @property
    def contexts(self) -> list[tuple[str, ...]]:
        """Every combination of covariate values, the last covariate running fastest."""
        return list(itertools.product(*self.covariates.values()))

    def parameters(self) -> dict[str, Any]:
        """The scalar arguments, for ``uns``."""
        return {k: v for k, v in asdict(self).items() if k != "covariates"}


_LOWEST_COUNT = {
    "n_perturbations": 1,
    "n_combinations": 0,
    "n_genes": 2,
    "n_cells_per_condition": 1,
    "n_controls": 1,
    "n_programs": 1,
    "n_batches": 1,
    "seed": 0,
}
_RANGES = {
    "effect_size": (0.0, math.inf),
    "shared_effect": (0.0, math.inf),
    "knockdown": (0.0, 1.0),
    "fraction_interacting": (0.0, 1.0),
    "covariate_effect": (0.0, math.inf),
    "covariate_modulation": (0.0, math.inf),
    "diffusion_time": (0.0, math.inf),
    "batch_effect": (0.0, math.inf),
    "guide_efficiency": (0.0, 1.0),
    "dispersion": (0.0, math.inf),
    "mean_library_size": (0.0, math.inf),
    "library_size_sd": (0.0, math.inf),
}


def read_covariates(
    covariates: Sequence[str] | Mapping[str, Sequence[str]],
) -> dict[str, tuple[str, ...]]:
    """Covariate columns and their values; a plain sequence is the column ``cell_type``."""
    if isinstance(covariates, str):
        raise TypeError(
            f'`covariates` must be a sequence of values such as ("A", "B") or a mapping '
            f"from column to values, got the string {covariates!r}."
        )
    columns = covariates if isinstance(covariates, Mapping) else {"cell_type": covariates}
    if not columns:
        raise ValueError('`covariates` is empty: give one value at least, e.g. ("A",).')
    checked: dict[str, tuple[str, ...]] = {}
    for column, given in columns.items():
        if not isinstance(column, str) or not column or "/" in column:
            raise ValueError(f"covariate names must be non-empty and hold no '/', got {column!r}.")
        if column in RESERVED_COLUMNS:
            raise ValueError(f"covariate {column!r} is a column that the simulation writes itself.")
        if isinstance(given, str):
            raise TypeError(f"covariate {column!r} needs a sequence of values, got {given!r}.")
        values = tuple(str(value) for value in given)
        if not values:
            raise ValueError(f"covariate {column!r} has no values.")
        if len(set(values)) < len(values):
            raise ValueError(f"covariate {column!r} repeats a value: {list(values)}.")
        checked[column] = values
    return checked


def _check_count(name: str, value: object, lowest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"`{name}` must be an integer, got {value!r}.")
    if value < lowest:
        raise ValueError(f"`{name}` must be at least {lowest}, got {value}.")


def _check_range(name: str, value: object, lowest: float, highest: float) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"`{name}` must be a number, got {value!r}.")
    if not lowest <= float(value) <= highest or math.isinf(value):
        wanted = f"between {lowest:g} and {highest:g}" if highest < math.inf else "finite and >= 0"
        raise ValueError(f"`{name}` must be {wanted}, got {value}.")
