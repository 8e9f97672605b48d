"""Judge predictions; score tables stay in the screen."""

from pertscope.ev._ceiling import ceiling
from pertscope.ev._collapse_metrics import collapse_metrics
from pertscope.ev._deg_metrics import deg_metrics
from pertscope.ev._distribution_metrics import distribution_metrics
from pertscope.ev._e_test import e_test
from pertscope.ev._error_metrics import error_metrics
from pertscope.ev._evaluate import evaluate
from pertscope.ev._evaluator import Evaluator
from pertscope.ev._rank_metrics import rank_metrics
from pertscope.ev._show import show

__all__ = [
    "Evaluator",
    "ceiling",
    "collapse_metrics",
    "deg_metrics",
    "distribution_metrics",
    "e_test",
    "error_metrics",
    "evaluate",
    "rank_metrics",
    "show",
]
