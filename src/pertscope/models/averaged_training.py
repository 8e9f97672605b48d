"""The training of networks that predict by a moving mean of their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import torch

from pertscope.models.training import Pairs, TrainingPlan

if TYPE_CHECKING:
    from pertscope.nn.averaged_module import AveragedModule


@final
class AveragedPlan(TrainingPlan):
    """Every step lowers the module's loss by AdamW, and moves the mean of the weights."""

    module: AveragedModule

    def _step(self, pairs: Pairs) -> torch.Tensor:
        return self._own_loss(pairs)

    def on_train_batch_end(self, *_: Any) -> None:
        """Move the mean."""
        self.module.average()

    def configure_optimizers(self) -> Any:
        """AdamW with ReduceLROnPlateau on the validation loss."""
        weights = [w for w in self.module.parameters() if w.requires_grad]
        optimizer = torch.optim.AdamW(
            weights, lr=self.lr, weight_decay=self.weight_decay, fused=True
        )
        return self._scheduled(optimizer)
