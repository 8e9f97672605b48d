"""How a training says that it was stopped by Ctrl-C."""

from __future__ import annotations


class TrainingInterruptedWarning(UserWarning):
    """The model keeps its best weights so far: another model than the one that was asked for."""
