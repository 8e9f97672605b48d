"""Show scores and effects; functions return Axes and never save or show."""

from pertscope.pl._benchmark import benchmark
from pertscope.pl._ceiling import ceiling
from pertscope.pl._comparison import comparison
from pertscope.pl._deg_overlap import deg_overlap
from pertscope.pl._effects import effects
from pertscope.pl._embedding_ranks import embedding_ranks
from pertscope.pl._embedding_similarity import embedding_similarity
from pertscope.pl._gap_closed import gap_closed
from pertscope.pl._integration import integration
from pertscope.pl._phenotypic_activity import phenotypic_activity
from pertscope.pl._rank_distribution import rank_distribution
from pertscope.pl._relationship_recall import relationship_recall
from pertscope.pl._representations import representations
from pertscope.pl._scores import scores
from pertscope.pl._similarity import similarity
from pertscope.pl._umap import umap
from pertscope.pl._unseen_scores import unseen_scores

__all__ = [
    "benchmark",
    "ceiling",
    "comparison",
    "deg_overlap",
    "effects",
    "embedding_ranks",
    "embedding_similarity",
    "gap_closed",
    "integration",
    "phenotypic_activity",
    "rank_distribution",
    "relationship_recall",
    "representations",
    "scores",
    "similarity",
    "umap",
    "unseen_scores",
]
