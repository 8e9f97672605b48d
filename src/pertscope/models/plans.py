"""How each kind of network trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope.models.adversarial_training import AdversarialPlan
from pertscope.models.averaged_training import AveragedPlan
from pertscope.models.training import DescentPlan
from pertscope.nn.adversarial_module import AdversarialModule
from pertscope.nn.averaged_module import AveragedModule

if TYPE_CHECKING:
    from pertscope.models.training import TrainingPlan
    from pertscope.nn.response_module import ResponseModule


def plan_of(module: ResponseModule) -> type[TrainingPlan]:
    """The training plan of a module."""
    if isinstance(module, AdversarialModule):
        return AdversarialPlan
    return AveragedPlan if isinstance(module, AveragedModule) else DescentPlan
