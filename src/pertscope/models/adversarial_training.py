"""The training of networks that play against an adversary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from pertscope.models.training import Pairs, TrainingPlan

if TYPE_CHECKING:
    import torch
    from lightning.pytorch.core.optimizer import LightningOptimizer

    from pertscope.nn.adversarial_module import AdversarialModule


@final
class AdversarialPlan(TrainingPlan):
    """Two players take turns: the adversary lowers its loss, the generator raises it.

    The generator is all of the module but the adversary. It has the first ``warmup_epochs`` for
    itself; from then on it has every ``adversary_steps``-th step, and the adversary all others, so
    that the generator meets an adversary that is nearly at its best. Each has its own Adam; the
    generator's rate falls where the validation loss stalls.
    """

    module: AdversarialModule

    def __init__(self, module: AdversarialModule, *vectors: Any, **settings: Any) -> None:
        super().__init__(module, *vectors, **settings)
        self.automatic_optimization = False
        self.warmup_epochs = module.warmup_epochs
        self._turn = 0

    def _step(self, pairs: Pairs) -> None:
        generator, adversary = self.optimizers()
        if self.current_epoch < self.warmup_epochs:
            loss = self.module.loss(*pairs)
            self._descend(generator, loss)
            self._record("train_loss", loss, len(pairs[0]))
            return
        if self._turn % self.module.adversary_steps == 0:
            objective, loss = self.module.generator_loss(*pairs)
            self._descend(generator, objective)
            self._record("train_loss", loss, len(pairs[0]))
        else:
            objective, loss = self.module.adversary_loss(*pairs)
            self._descend(adversary, objective)
            self._record("adversary_loss", loss, len(pairs[0]))
        self._turn += 1

    def on_train_epoch_end(self) -> None:
        """Let the generator's rate fall; the epochs of the warm-up are no measure."""
        loss = self.trainer.callback_metrics.get("val_loss")
        if loss is not None and self.current_epoch >= self.warmup_epochs:
            self.lr_schedulers().step(loss)

    def configure_optimizers(self) -> Any:
        """Adam for each player, and ReduceLROnPlateau for the generator's."""
        theirs = {id(p) for p in self.module.adversary.parameters()}
        generator = self._adam(p for p in self.module.parameters() if id(p) not in theirs)
        adversary = self._adam(self.module.adversary.parameters())
        return [generator, adversary], [self._plateau(generator)]

    def _descend(self, optimizer: LightningOptimizer, loss: torch.Tensor) -> None:
        optimizer.zero_grad()  # the other player's step left gradients here
        self.manual_backward(loss)
        self.clip_gradients(optimizer, gradient_clip_val=self.gradient_clip)
        optimizer.step()
