"""The step of training and the scoring, as PyTorch Lightning runs them."""

from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from res3d.training.feature_cache import FeatureCache
from res3d.training.loading import Loaded
from res3d.training.order import seed_step
from res3d.training.parts import build_optimizer
from res3d.training.plan import Plan
from res3d.training.resume import KEY, describe_run


class TrainingModule(pl.LightningModule):
    """A model that learns.

    What a step draws at random (which proposals are sampled, what is dropped) is a function of the seed, the step and
    the part of its batch, so that a run that was interrupted ends where one that was not does.

    Args:
        plan: what the run is made of.
        cache: of the maps of stages that stay frozen.
    """

    def __init__(self, plan: Plan, cache: FeatureCache | None = None) -> None:
        super().__init__()
        self.model = plan.model
        self.task = plan.task
        self.settings = plan.settings
        self.schedule = plan.schedule
        self.cache = cache
        self.run = describe_run(plan)
        self.averaged: AveragedModel | None = None
        if plan.settings.averaging is not None:
            average = get_ema_multi_avg_fn(plan.settings.averaging)  # type: ignore[no-untyped-call]
            self.averaged = AveragedModel(plan.model, multi_avg_fn=average, use_buffers=True)
            self.averaged.requires_grad_(False)
        self._found: dict[int, tuple[Any, Any]] = {}  # by clip: result and truth
        self._wrapped: set[int] = set()  # ids of the parameters whose gradients DistributedDataParallel averages

    @property
    def scored(self) -> nn.Module:
        """The model that is scored and exported: the averaged one, where there is one."""
        return self.model if self.averaged is None else self.averaged.module

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(self.model, self.settings)
        # A function, since the scheduler would keep an object's fields: a run that goes on may be of more epochs.
        rates = LambdaLR(optimizer, lambda step: self.schedule(step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rates, "interval": "step"}}

    def on_train_start(self) -> None:
        # Whatever took a gradient when the run was wrapped: before the first step that is what freeze_at leaves.
        self._wrapped = {id(p) for p in self.model.parameters() if p.requires_grad}
        self._freeze()

    def on_train_epoch_start(self) -> None:
        self._freeze()

    def _freeze(self) -> None:
        backbone: Any = self.model.backbone
        backbone.freeze(self.settings.frozen_in(self.global_step // self.schedule.steps_per_epoch))

    def on_train_batch_start(self, batch: list[Loaded], batch_idx: int) -> None:
        # Numbered as the order has them: parts of a batch draw the same whether processes or time divide it.
        part = batch_idx % self.settings.accumulate * self.settings.processes + self.global_rank
        seed_step(self.settings.seed, self.global_step, part)

    def training_step(self, batch: list[Loaded], batch_idx: int) -> dict[str, Tensor]:
        known = None if self.cache is None else self.cache.maps(self.model, batch)
        losses = self.task.losses(self.model, [(item.clip, item.target) for item in batch], known)
        total = torch.stack([loss.float() for loss in losses.values()]).sum()
        if not torch.isfinite(total):
            values = ", ".join(f"{name} {loss.item():.3g}" for name, loss in losses.items())
            raise FloatingPointError(
                f"step {self.global_step}: the loss is not finite ({values}); a lower learning_rate, a longer warm_up "
                "or clip_gradient may help"
            )
        return {"loss": total, **{name: loss.detach() for name, loss in losses.items()}}

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Average the gradients of parameters that were unfrozen since DistributedDataParallel looked."""
        if self.trainer.world_size == 1:
            return
        for parameter in self.model.parameters():
            if parameter.grad is not None and id(parameter) not in self._wrapped:
                dist.all_reduce(parameter.grad)
                parameter.grad /= self.trainer.world_size

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)

    def validation_step(self, batch: list[tuple[int, Tensor, Any]], batch_idx: int) -> None:
        samples = [(clip, target) for _, clip, target in batch]
        with torch.autocast(self.device.type, enabled=False):  # scores are of float32, whatever training is in
            results = self.task.predict(self.scored, samples)
        for (number, _, target), result in zip(batch, results, strict=True):
            self._found[number] = result, self.task.truth(target)

    def on_validation_epoch_end(self) -> None:
        found = self._found
        self._found = {}
        if self.trainer.world_size > 1:
            parts: list[Any] = [None] * self.trainer.world_size
            dist.all_gather_object(parts, found)
            found = {number: pair for part in parts for number, pair in part.items()}
        results, truths = zip(*(found[number] for number in sorted(found)), strict=True)
        scores = self.task.score(results, truths)
        # The same on every process, which all saw everything; of the loggers, ``Curves`` takes care.
        self.log_dict({f"validate/{name}": value for name, value in scores.items()}, logger=False, sync_dist=True)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch  # clips of a list have sizes of their own: the task moves them

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[KEY] = self.run
