"""Judge predictions; score tables stay in the screen."""

from pertscope.ev._ceiling import ceiling
from pertscope.ev._collapse_metrics import collapse_metrics
from pertscope.ev._consistency import consistency
from pertscope.ev._deg_metrics import deg_metrics
from pertscope.ev._distribution_metrics import distribution_metrics
from pertscope.ev._e_test import e_test
from pertscope.ev._embedding_similarity import embedding_similarity
from pertscope.ev._error_metrics import error_metrics
from pertscope.ev._evaluate import evaluate
from pertscope.ev._evaluate_representations import evaluate_representations
from pertscope.ev._evaluator import Evaluator
from pertscope.ev._gap_closed import gap_closed
from pertscope.ev._hit_ranking import hit_ranking
from pertscope.ev._integration import integration
from pertscope.ev._knn_accuracy import knn_accuracy
from pertscope.ev._label_metrics import label_metrics
from pertscope.ev._linear_probe import linear_probe
from pertscope.ev._phenotypic_activity import phenotypic_activity
from pertscope.ev._phenotypic_consistency import phenotypic_consistency
from pertscope.ev._rank_metrics import rank_metrics
from pertscope.ev._reconstruction import reconstruction
from pertscope.ev._relationship_recall import relationship_recall
from pertscope.ev._show import show

__all__ = [
    "Evaluator",
    "ceiling",
    "collapse_metrics",
    "consistency",
    "deg_metrics",
    "distribution_metrics",
    "e_test",
    "embedding_similarity",
    "error_metrics",
    "evaluate",
    "evaluate_representations",
    "gap_closed",
    "hit_ranking",
    "integration",
    "knn_accuracy",
    "label_metrics",
    "linear_probe",
    "phenotypic_activity",
    "phenotypic_consistency",
    "rank_metrics",
    "reconstruction",
    "relationship_recall",
    "show",
]
