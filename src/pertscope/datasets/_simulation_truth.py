"""What is true in a simulated screen: programmes, activities, expected expression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pertscope.datasets._simulation_diffusion import diffused_activities

if TYPE_CHECKING:
    import pandas as pd

    from pertscope.datasets._simulation_settings import Settings

Array = npt.NDArray[np.float64]

PROGRAM_SIZE = 0.1  # share of genes that a programme moves
SHIFTED_SHARE = 0.3  # share of genes whose baseline a covariate value moves
PROGRAMS_PER_PERTURBATION = (1, 3)  # specific programmes of a perturbation, both ends included
INTERACTION_SCALE = 0.6  # a synergy or buffering changes each programme by this share of the sum


@dataclass(frozen=True)
class Truth:
    """Drawn parameters of a screen; log is natural.

    Shapes: c contexts, p perturbations, d combinations, k programmes, g genes, b batches.
    """

    baseline: Array  # (c, g), log expression
    gene_level: Array  # (g,), log expression without any shift
    batch_shift: Array  # (b, g)
    loadings: Array  # (g, k)
    activities: Array  # (p, k)
    modulation: Array  # (c, k)
    targets: npt.NDArray[np.int64]  # (p,)
    pairs: npt.NDArray[np.int64]  # (d, 2)
    interactions: Array  # (d, k)
    knockdown_shift: float

    def log_shift(self, context: int, members: tuple[int, ...], combination: int | None) -> Array:
        """Change of natural-log expression in a cell whose guides work, ``(g,)``.

        Each member adds its programmes, scaled by the context, except at its own target, where
        the knock-down alone counts; a combination adds its interaction.
        """
        scaled = self.loadings * self.modulation[context]
        shift = np.zeros(self.loadings.shape[0])
        for member in members:
            single = scaled @ self.activities[member]
            single[self.targets[member]] = self.knockdown_shift
            shift += single
        if combination is not None:
            shift += scaled @ self.interactions[combination]
        return shift

    def rates(self, context: int, shift: Array) -> Array:
        """Share of a cell's transcripts per batch and gene, ``(b, g)``; rows sum to 1."""
        logits = self.baseline[context] + shift + self.batch_shift
        logits -= logits.max(axis=1, keepdims=True)
        shares = np.exp(logits)
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))

    def rates_without_context(self) -> Array:
        """Share of transcripts per gene before any covariate, batch or perturbation, ``(g,)``."""
        shares = np.exp(self.gene_level - self.gene_level.max())
        return np.asarray(shares / shares.sum())


def draw_truth(
    settings: Settings, stream: np.random.SeedSequence, graph: pd.DataFrame | None
) -> Truth:
    """Draw the truth; every part has its own stream, so one argument leaves the others' draws."""
    streams = map(np.random.default_rng, stream.spawn(7))
    gene, program, perturbation, context, pair, batch, edge = streams
    gene_level = gene.normal(0.0, 1.2, settings.n_genes)
    loadings = _draw_loadings(program, settings)
    activities = _draw_activities(perturbation, settings)
    # Targets are well expressed genes: a knock-down of a silent gene would show nothing.
    n_candidates = max(settings.n_perturbations, settings.n_genes // 2)
    candidates = np.argsort(-gene_level, kind="stable")[:n_candidates]
    targets = np.sort(perturbation.choice(candidates, settings.n_perturbations, replace=False))
    if graph is not None:
        activities = diffused_activities(edge, settings, graph)[targets]
    shift, log_modulation = _draw_contexts(context, settings)
    pairs, interactions = _draw_combinations(pair, settings, activities)
    return Truth(
        baseline=gene_level + shift,
        gene_level=gene_level,
        batch_shift=settings.batch_effect
        * batch.normal(size=(settings.n_batches, settings.n_genes)),
        loadings=loadings,
        activities=activities,
        modulation=np.exp(log_modulation),
        targets=targets.astype(np.int64),
        pairs=pairs,
        interactions=interactions,
        knockdown_shift=float(np.log1p(-settings.knockdown)),
    )


def _draw_loadings(rng: np.random.Generator, settings: Settings) -> Array:
    """Sparse signed loadings ``(g, k)`` of root mean square 1 within a programme's genes."""
    size = max(1, round(PROGRAM_SIZE * settings.n_genes))
    loadings = np.zeros((settings.n_genes, settings.n_programs))
    for column in loadings.T:
        members = rng.choice(settings.n_genes, size, replace=False)
        values = rng.normal(size=size)
        column[members] = values / np.sqrt(np.mean(values**2))
    return loadings


def _draw_activities(rng: np.random.Generator, settings: Settings) -> Array:
    """Activities ``(p, k)``: programme 0 answers to every perturbation, the others to a few."""
    n, k = settings.n_perturbations, settings.n_programs
    strength = settings.effect_size * rng.lognormal(0.0, 0.3, n)
    activities = np.zeros((n, k))
    activities[:, 0] = settings.shared_effect * strength
    for row, size in zip(activities, strength, strict=True):
        low, high = PROGRAMS_PER_PERTURBATION
        count = min(int(rng.integers(low, high + 1)), k - 1)
        if count == 0:
            continue
        active = 1 + rng.choice(k - 1, count, replace=False)
        row[active] = size * rng.choice([-1.0, 1.0], count) * rng.uniform(0.5, 1.5, count)
    return activities


def _draw_contexts(rng: np.random.Generator, settings: Settings) -> tuple[Array, Array]:
    """Baseline shift ``(c, g)`` and log modulation ``(c, k)``, additive over the covariates."""
    shift = np.zeros((len(settings.contexts), settings.n_genes))
    log_modulation = np.zeros((len(settings.contexts), settings.n_programs))
    for position, values in enumerate(settings.covariates.values()):
        moved = rng.random((len(values), settings.n_genes)) < SHIFTED_SHARE
        shifts = moved * rng.normal(size=moved.shape) * settings.covariate_effect
        factors = settings.covariate_modulation * rng.normal(
            size=(len(values), settings.n_programs)
        )
        level = [values.index(context[position]) for context in settings.contexts]
        shift += shifts[level]
        log_modulation += factors[level]
    return shift, log_modulation


def _draw_combinations(
    rng: np.random.Generator, settings: Settings, activities: Array
) -> tuple[npt.NDArray[np.int64], Array]:
    """Pairs ``(d, 2)`` and interactions ``(d, k)``: synergy or buffering, plus a new programme."""
    n, k = activities.shape
    first, second = np.triu_indices(n, 1)
    chosen = np.sort(rng.choice(len(first), settings.n_combinations, replace=False))
    pairs = np.column_stack([first[chosen], second[chosen]]).astype(np.int64)
    interactions = np.zeros((len(pairs), k))
    n_interacting = round(settings.fraction_interacting * len(pairs))
    for row in rng.choice(len(pairs), n_interacting, replace=False):
        together = activities[pairs[row]].sum(axis=0)
        interactions[row] = rng.choice([-1.0, 1.0]) * INTERACTION_SCALE * together
        interactions[row, rng.integers(k)] += settings.effect_size * rng.choice([-1.0, 1.0])
    return pairs, interactions
