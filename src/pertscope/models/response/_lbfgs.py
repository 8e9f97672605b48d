"""Many small smooth problems at once: L-BFGS with steps and memory of each problem's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    Evaluate = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

MEMORY, MAX_ITERATIONS, MAX_HALVINGS = 8, 500, 30
ENOUGH = 1e-4
"""Share of the promised decrease that a step must bring."""

CROWDED = 0.75
"""Settled problems are set aside when fewer than this share is left."""


@dataclass(frozen=True)
class _State:
    """Problems that have not settled: where they are, and what they remember.

    `x`, `gradient` and `scale` are ``(dimensions, problems)``, `value` ``(problems,)``, `steps` and
    `turns` ``(memory, dimensions, problems)``.
    """

    which: np.ndarray
    x: np.ndarray
    value: np.ndarray
    gradient: np.ndarray
    scale: np.ndarray
    steps: np.ndarray
    turns: np.ndarray

    def take(self, kept: np.ndarray) -> _State:
        arrays = {name: getattr(self, name)[..., kept] for name in self.__dataclass_fields__}
        return replace(self, **arrays)


def minimise(
    evaluate: Evaluate, start: np.ndarray, scale: np.ndarray, *, tolerance: float
) -> tuple[np.ndarray, int]:
    """Minimum of each of many convex functions that know nothing of each other.

    A problem has settled when a step promises to lower its value by less than `tolerance`.

    Parameters
    ----------
    evaluate
        Takes points ``(dimensions, problems)`` and which problems they belong to, int64, and
        returns their values ``(problems,)`` and gradients ``(dimensions, problems)``.
    start
        Points to start from, float ``(dimensions, problems)``.
    scale
        Rough inverse of the diagonal of each Hessian, of the same shape.

    Returns
    -------
    The points that were found, and how many problems did not settle.
    """
    found = start.copy()
    which = np.arange(start.shape[1])
    value, gradient = evaluate(start, which)
    empty = np.zeros((0, *start.shape), start.dtype)
    moving = np.ones(len(which), dtype=bool)
    state = _State(which, start, value, gradient, scale, empty, empty)
    for _ in range(MAX_ITERATIONS):
        direction = _direction(state)
        slope = _dot(state.gradient, direction)
        moving = -slope > tolerance
        if not moving.any():
            return found, 0
        state, stuck = _step(evaluate, state, direction * moving, slope * moving)
        found[:, state.which] = state.x
        moving &= ~stuck  # what no step lowers is as low as numbers can tell
        if stuck.any() or np.count_nonzero(moving) < CROWDED * len(moving):
            state = state.take(moving)
    return found, int(np.count_nonzero(moving))


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("dg,dg->g", a, b)


def _direction(state: _State) -> np.ndarray:
    """Minus the gradient times the inverse Hessian that the last steps tell."""
    q, turned = state.gradient.copy(), []
    for step, turn in zip(state.steps[::-1], state.turns[::-1], strict=True):
        curvature = _dot(step, turn)
        weight = np.divide(
            _dot(step, q), curvature, out=np.zeros_like(curvature), where=curvature > 0
        )
        q -= weight * turn
        turned.append((weight, curvature))
    q *= state.scale
    if len(state.steps):
        step, turn = state.steps[-1], state.turns[-1]
        size = _dot(turn, state.scale * turn)
        q *= np.divide(_dot(step, turn), size, out=np.ones_like(size), where=size > 0)
    for step, turn, (weight, curvature) in zip(state.steps, state.turns, turned[::-1], strict=True):
        back = np.divide(
            _dot(turn, q), curvature, out=np.zeros_like(curvature), where=curvature > 0
        )
        q += (weight - back) * step
    return -q


def _step(
    evaluate: Evaluate, state: _State, direction: np.ndarray, slope: np.ndarray
) -> tuple[_State, np.ndarray]:
    """One step of each problem, halved until it brings enough; and which found none."""
    x = state.x + direction
    value, gradient = evaluate(x, state.which)
    size = np.ones_like(value)
    short = value > state.value + ENOUGH * size * slope
    for _ in range(MAX_HALVINGS):
        rows = np.flatnonzero(short)
        if not len(rows):
            break
        size[rows] /= 2
        x[:, rows] = state.x[:, rows] + size[rows] * direction[:, rows]
        value[rows], gradient[:, rows] = evaluate(x[:, rows], state.which[rows])
        short[rows] = value[rows] > state.value[rows] + ENOUGH * size[rows] * slope[rows]
    x[:, short], value[short] = state.x[:, short], state.value[short]
    gradient[:, short] = state.gradient[:, short]
    steps = np.concatenate([state.steps, (x - state.x)[None]])[-MEMORY:]
    turns = np.concatenate([state.turns, (gradient - state.gradient)[None]])[-MEMORY:]
    return replace(state, x=x, value=value, gradient=gradient, steps=steps, turns=turns), short
