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

    def __init__(self, module: AveragedModule, *vectors: Any, **settings: Any) -> None:
        super().__init__(module, *vectors, **settings)

    def _step(self, pairs: Pairs) -> torch.Tensor:
        loss = self.module.loss(*pairs)
        self._record("train_loss", loss, len(pairs[0]))
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        """Move the mean."""
        self.module.average()

    def configure_optimizers(self) -> Any:
        """AdamW with ReduceLROnPlateau on the validation loss."""
        weights = [w for w in self.module.parameters() if w.requires_grad]
        optimizer = torch.optim.AdamW(
            weights, lr=self.lr, weight_decay=self.weight_decay, fused=True
        )
        schedule = {"scheduler": self._plateau(optimizer), "monitor": "val_loss", "strict": False}
        return {"optimizer": optimizer, "lr_scheduler": schedule}
