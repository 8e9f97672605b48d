"""The training of networks that play against an adversary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast, final

from pertscope.models.training import Pairs, TrainingPlan

if TYPE_CHECKING:
    import torch
    from torch.optim.lr_scheduler import ReduceLROnPlateau

    from pertscope.nn.adversarial_module import AdversarialModule


@final
class AdversarialPlan(TrainingPlan):
    """Two players take turns: the adversary lowers its loss, the autoencoder raises it.

    The autoencoder has the first ``warmup_epochs`` for itself; from then on it has every
    ``adversary_steps``-th step and the adversary has all others, so that the autoencoder meets an
    adversary that is nearly at its best. Each has an Adam of its own; the autoencoder's rate falls
    where the validation loss stalls.
    """

    module: AdversarialModule

    def __init__(self, module: AdversarialModule, *vectors: Any, **settings: Any) -> None:
        super().__init__(module, *vectors, **settings)
        self.automatic_optimization = False
        self.warmup_epochs = module.warmup_epochs

    def _step(self, pairs: Pairs) -> None:
        autoencoder, adversary = cast("list[torch.optim.Optimizer]", self.optimizers())
        n = len(pairs[0])
        if self.epoch < self.warmup_epochs:
            loss = self.module.loss(*pairs)
            self._descend(autoencoder, loss)
            self._record("train_loss", loss, n)
            return
        if self.turns % self.module.adversary_steps == 0:
            objective, loss = self.module.generator_loss(*pairs)
            self._descend(autoencoder, objective)
            self._record("train_loss", loss, n)
        else:
            objective, loss = self.module.adversary_loss(*pairs)
            self._descend(adversary, objective)
            self._record("adversary_loss", loss, n)
        self.turns += 1

    def on_train_epoch_end(self) -> None:
        """Let the autoencoder's rate fall; the epochs of the warm-up are no measure."""
        loss = self.trainer.callback_metrics.get("val_loss")
        if loss is not None and self.epoch >= self.warmup_epochs:
            cast("ReduceLROnPlateau", self.lr_schedulers()).step(loss)

    def configure_optimizers(self) -> Any:
        """Adam for each player, and ReduceLROnPlateau for the autoencoder's."""
        autoencoder = self._adam(self.module.autoencoder.parameters())
        adversary = self._adam(self.module.adversary.parameters())
        return [autoencoder, adversary], [self._plateau(autoencoder)]

    def _descend(self, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        optimizer.zero_grad()  # the other player's step left gradients here
        self.manual_backward(loss)
        self.clip_gradients(optimizer, gradient_clip_val=self.gradient_clip)
        optimizer.step()
