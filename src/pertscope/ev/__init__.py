"""Judge predictions; score tables stay in the screen."""

from pertscope.ev._error_metrics import error_metrics
from pertscope.ev._rank_metrics import rank_metrics

__all__ = ["error_metrics", "rank_metrics"]
