"""What was registered, with counts."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.conditions import screen_conditions
from pertscope._core.screen import Screen

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class ScreenSummary:
    """A registered screen and how much of everything it holds; see :func:`pertscope.get.screen`."""

    screen: Screen
    n_cells: int
    n_genes: int
    n_perturbations: int
    n_combinations: int
    n_conditions: int
    n_controls: dict[tuple[str, ...], int]

    def __repr__(self) -> str:
        controls = ", ".join(
            f"{'|'.join(k)}: {v:,}" if k else f"{v:,}" for k, v in self.n_controls.items()
        )
        lines = [
            f"screen of {self.n_cells:,} cells x {self.n_genes:,} genes",
            f"  perturbations: {self.n_perturbations:,}, and {self.n_combinations:,} combinations",
            f"  conditions: {self.n_conditions:,} in {len(self.n_controls):,} set(s) of covariates",
            f"  controls: {controls}",
        ]
        hidden = ("schema_version",)
        lines += [
            f"  {f.name}: {getattr(self.screen, f.name)!r}"
            for f in fields(self.screen)
            if f.name not in hidden
        ]
        return "\n".join(lines)


def screen(adata: AnnData) -> ScreenSummary:
    """Return what was registered, and how many cells, perturbations and controls there are.

    Parameters
    ----------
    adata
        Registered screen.

    Returns
    -------
    Summary that prints itself. ``n_perturbations`` counts perturbations that occur alone or in a
    combination, ``n_combinations`` distinct combinations, ``n_conditions`` conditions other than
    controls, ``n_controls`` control cells of each combination of covariates, a tuple of their
    values.

    Raises
    ------
    KeyError
        If `adata` is not registered.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.get.screen(adata).n_perturbations
    4
    """
    registered = Screen.of(adata)
    conditions = screen_conditions(adata, registered)
    n_cells = conditions.n_cells
    controls = np.flatnonzero(conditions.is_control)
    return ScreenSummary(
        screen=registered,
        n_cells=adata.n_obs,
        n_genes=adata.n_vars,
        n_perturbations=len({p for parts in conditions.components for p in parts}),
        n_combinations=len({parts for parts in conditions.components if len(parts) > 1}),
        n_conditions=int((~conditions.is_control).sum()),
        n_controls={conditions.contexts[conditions.context[i]]: int(n_cells[i]) for i in controls},
    )
