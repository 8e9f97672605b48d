"""Show scores and effects; functions return Axes and never save or show."""

from pertscope.pl._effects import effects
from pertscope.pl._scores import scores

__all__ = ["effects", "scores"]
