"""Read what a screen holds: what was registered, conditions, effects, predictions, scores."""

from pertscope.get._comparison import comparison
from pertscope.get._conditions import conditions
from pertscope.get._effects import effects
from pertscope.get._gene_tests import gene_tests
from pertscope.get._imbalance import imbalance
from pertscope.get._prediction import prediction
from pertscope.get._scores import scores
from pertscope.get._screen import screen

__all__ = [
    "comparison",
    "conditions",
    "effects",
    "gene_tests",
    "imbalance",
    "prediction",
    "scores",
    "screen",
]
