"""From drawn parameters to an AnnData: one condition after the other."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from pertscope.datasets._simulation_counts import draw_cells, draw_counts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pertscope.datasets._simulation_settings import Settings
    from pertscope.datasets._simulation_truth import Truth

CONTROL = "control"
SEPARATOR = "+"
SCALE = 1e4


@dataclass(frozen=True)
class _Condition:
    """One perturbation in one context; `context` is its position in ``Settings.contexts``."""

    context: int
    label: str
    members: tuple[int, ...] = ()
    combination: int | None = None


def assemble(
    settings: Settings,
    truth: Truth,
    stream: np.random.SeedSequence,
    graph: pd.DataFrame | None,
) -> AnnData:
    """Draw the cells of every condition and put them together with the truth."""
    genes = pd.Index([f"g{i}" for i in range(settings.n_genes)])
    conditions = list(_conditions(settings, truth, genes))
    streams = stream.spawn(len(conditions))
    shape = (len(conditions), settings.n_genes)
    layers = {
        name: np.zeros(shape, dtype=np.float32)
        for name in ("log1p_mean", "mean", "effect", "effect_positive", "log_shift")
    }
    no_shift = np.zeros(settings.n_genes)
    controls = [truth.rates(context, no_shift) for context in range(len(settings.contexts))]

    def draw(row: int) -> tuple[sp.csr_matrix, dict[str, npt.NDArray[Any]]]:
        condition = conditions[row]
        unperturbed = controls[condition.context]
        shift = truth.log_shift(condition.context, condition.members, condition.combination)
        rates = truth.rates(condition.context, shift)
        _fill_truth(layers, row, shift, rates, unperturbed, settings)
        rng = np.random.default_rng(streams[row])
        return _draw_condition(rng, condition, rates, unperturbed, settings)

    # Every condition has its own stream: the threads do not change what is drawn.
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        drawn = list(pool.map(draw, range(len(conditions))))
    counts, cells = [x for x, _ in drawn], [obs for _, obs in drawn]
    obs = _obs(settings, conditions, cells)
    var = pd.DataFrame(
        {
            "base_expression": SCALE * truth.rates_without_context(),
            "is_target": np.isin(np.arange(settings.n_genes), truth.targets),
        },
        index=genes,
    )
    adata = AnnData(X=sp.vstack(counts, format="csr"), obs=obs, var=var)
    adata.uns["screen_keys"] = {
        "perturbation_key": "perturbation",
        "control": CONTROL,
        "covariate_keys": list(settings.covariates),
        "batch_key": "batch",
        "combination_separator": SEPARATOR,
    }
    adata.uns["simulation"] = {
        "truth": _truth_anndata(settings, conditions, cells, layers, genes),
        **_tables(settings, truth, genes),
        **({} if graph is None else {"graph": graph}),
    }
    return adata


def _conditions(settings: Settings, truth: Truth, genes: pd.Index) -> Iterator[_Condition]:
    """Conditions in the order of the cells: per context control, singles, combinations."""
    names = genes[truth.targets]
    for context in range(len(settings.contexts)):
        yield _Condition(context, CONTROL)
        for member, name in enumerate(names):
            yield _Condition(context, name, (member,))
        if settings.combinations_in == "all" or context == 0:
            for number, (i, j) in enumerate(truth.pairs):
                label = f"{names[i]}{SEPARATOR}{names[j]}"
                yield _Condition(context, label, (int(i), int(j)), number)


def _fill_truth(
    layers: dict[str, npt.NDArray[np.float32]],
    row: int,
    shift: npt.NDArray[np.float64],
    rates: npt.NDArray[np.float64],
    unperturbed: npt.NDArray[np.float64],
    settings: Settings,
) -> None:
    """Write one condition's truth; `rates` and `unperturbed` are ``(n_batches, n_genes)``."""
    control = SCALE * unperturbed.mean(axis=0)
    positive = SCALE * rates.mean(axis=0)
    share = settings.guide_efficiency
    mean = share * positive + (1 - share) * control
    layers["mean"][row] = mean
    layers["log1p_mean"][row] = np.log1p(mean)
    layers["effect"][row] = np.log1p(mean) - np.log1p(control)
    layers["effect_positive"][row] = np.log1p(positive) - np.log1p(control)
    layers["log_shift"][row] = shift


def _draw_condition(
    rng: np.random.Generator,
    condition: _Condition,
    rates: npt.NDArray[np.float64],
    unperturbed: npt.NDArray[np.float64],
    settings: Settings,
) -> tuple[sp.csr_matrix, dict[str, npt.NDArray[Any]]]:
    """Counts of a condition's cells, and their own columns of ``obs``."""
    n_cells = settings.n_cells_per_condition if condition.members else settings.n_controls
    batch, positive, library_size = draw_cells(
        rng,
        n_cells,
        n_batches=settings.n_batches,
        guide_efficiency=settings.guide_efficiency if condition.members else 0.0,
        mean_library_size=settings.mean_library_size,
        library_size_sd=settings.library_size_sd,
    )
    states = np.vstack([unperturbed, rates])
    rows = batch + settings.n_batches * positive
    x = draw_counts(rng, states, rows, library_size, settings.dispersion)
    return x, {"batch": batch, "guide_positive": positive, "library_size": library_size}


def _condition_columns(
    settings: Settings, conditions: list[_Condition], repeats: npt.NDArray[np.int64] | int
) -> dict[str, pd.Categorical[str]]:
    """Perturbation and covariates of the conditions, each repeated as often as it has cells."""
    labels = list(dict.fromkeys(condition.label for condition in conditions))
    columns: dict[str, pd.Categorical[str]] = {
        "perturbation": pd.Categorical([c.label for c in conditions], labels)
    }
    for position, (column, values) in enumerate(settings.covariates.items()):
        of_conditions = [settings.contexts[c.context][position] for c in conditions]
        columns[column] = pd.Categorical(of_conditions, values)
    return {name: column.repeat(repeats) for name, column in columns.items()}


def _obs(
    settings: Settings, conditions: list[_Condition], cells: list[dict[str, npt.NDArray[Any]]]
) -> pd.DataFrame:
    """Annotation of the cells."""
    n_cells = np.array([len(part["batch"]) for part in cells])
    own = {name: np.concatenate([part[name] for part in cells]) for name in cells[0]}
    batches = [f"batch{i + 1}" for i in range(settings.n_batches)]
    return pd.DataFrame(
        {
            **_condition_columns(settings, conditions, n_cells),
            "batch": pd.Categorical.from_codes(own["batch"], pd.Index(batches)),
            "guide_positive": own["guide_positive"],
            "library_size": own["library_size"].astype(np.float32),
        },
        index=[f"cell{i}" for i in range(n_cells.sum())],
    )


def _truth_anndata(
    settings: Settings,
    conditions: list[_Condition],
    cells: list[dict[str, npt.NDArray[Any]]],
    layers: dict[str, npt.NDArray[np.float32]],
    genes: pd.Index,
) -> AnnData:
    """The truth in the form of a prediction: one row per condition."""
    # A table with a column per gene would take seconds to write; an AnnData is two arrays.
    obs = pd.DataFrame(_condition_columns(settings, conditions, 1))
    obs["n_cells"] = [len(part["batch"]) for part in cells]
    obs.index = pd.Index(
        [
            "|".join([*settings.contexts[condition.context], condition.label])
            for condition in conditions
        ]
    )
    return AnnData(
        X=layers["log1p_mean"],
        obs=obs,
        var=pd.DataFrame(index=genes),
        layers={name: values for name, values in layers.items() if name != "log1p_mean"},
    )


def _tables(settings: Settings, truth: Truth, genes: pd.Index) -> dict[str, Any]:
    """The drawn parameters by name."""
    programs = [f"program{i}" for i in range(settings.n_programs)]
    singles = genes[truth.targets]
    pairs = singles.to_numpy()[truth.pairs].reshape(-1, 2)
    labels = [SEPARATOR.join(pair) for pair in pairs]
    together = truth.activities[truth.pairs].sum(axis=1) + truth.interactions
    contexts = pd.Index(["|".join(context) for context in settings.contexts])
    members = pd.DataFrame(pairs, index=labels, columns=["first", "second"], dtype=object)
    members["interacting"] = np.asarray(truth.interactions.any(axis=1))
    return {
        "loadings": pd.DataFrame(truth.loadings, index=genes, columns=programs),
        "activities": pd.DataFrame(
            np.vstack([truth.activities, together]), index=[*singles, *labels], columns=programs
        ),
        "interactions": pd.DataFrame(truth.interactions, index=labels, columns=programs),
        "modulation": pd.DataFrame(truth.modulation, index=contexts, columns=programs),
        "combinations": members,
        "parameters": {
            **settings.parameters(),
            "covariates": {name: list(values) for name, values in settings.covariates.items()},
        },
    }
