"""Training step and validation of a run as a PyTorch Lightning module."""

from collections.abc import Callable, Sequence

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from res3d.training.datasets import TrainingSample
from res3d.training.feature_cache import FeatureCache
from res3d.training.parameter_groups import build_optimizer
from res3d.training.plan import Plan
from res3d.training.resume import DESCRIPTION, State
from res3d.training.seeding import seed_step
from res3d.training.task import Target


class TrainingModule(pl.LightningModule):
    """Lightning module of a run: model, losses, optimizer and scores.

    The random numbers of a step (proposal sampling, dropout) depend only on the seed, the step and the part of its
    batch. A resumed run therefore ends with the same weights as an uninterrupted one.

    Args:
        plan: the parts of the run.
        cache: cached feature maps of the frozen stages; None computes them in every step.
    """

    def __init__(self, plan: Plan, cache: FeatureCache | None = None) -> None:
        super().__init__()
        self.model = plan.task.model
        self.task = plan.task
        self.scoring_task = plan.task
        """The task of the model that is scored and exported: the averaged model if ``averaging`` is set."""
        self.settings = plan.settings
        self.rate_factor = plan.rate_factor
        self.cache = cache
        self.description = plan.description
        self.averaged: AveragedModel | None = None
        if plan.settings.averaging is not None:
            average = get_ema_multi_avg_fn(plan.settings.averaging)  # type: ignore[no-untyped-call]
            self.averaged = AveragedModel(plan.task.model, multi_avg_fn=average, use_buffers=True)
            self.averaged.requires_grad_(False)
            self.scoring_task = type(plan.task)(self.averaged.module)
        self._scored: dict[int, tuple[object, object]] = {}  # result and truth by clip
        self._synchronized: set[int] = set()  # id() of the parameters whose gradients DistributedDataParallel averages

    @property
    def exported(self) -> nn.Module:
        """The model that is scored and exported, with averaged weights if ``averaging`` is set."""
        model: nn.Module = self.scoring_task.model
        return model

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = build_optimizer(self.task, self.settings)
        # A lambda, because the scheduler would save the fields of a callable object, and a resumed run may have more
        # epochs.
        rates = LambdaLR(optimizer, lambda step: self.rate_factor(step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rates, "interval": "step"}}

    def on_train_start(self) -> None:
        # Parameters that required a gradient when DistributedDataParallel wrapped the model, i.e. those that freeze_at
        # does not freeze before the first step.
        self._synchronized = {id(p) for p in self.model.parameters() if p.requires_grad}
        self._freeze()

    def on_train_epoch_start(self) -> None:
        self._freeze()

    def _freeze(self) -> None:
        self.task.backbone.freeze(self.settings.frozen_in(self.global_step // self.rate_factor.steps_per_epoch))

    def on_train_batch_start(self, batch: object, batch_idx: int) -> None:
        # A part of a batch gets the same random numbers whether the batch is divided over processes or over time.
        part = batch_idx % self.settings.accumulate * self.settings.processes + self.global_rank
        seed_step(self.settings.seed, self.global_step, part)

    def training_step(self, batch: Sequence[TrainingSample], batch_idx: int) -> dict[str, Tensor]:
        maps = None if self.cache is None else self.cache.maps(self.task, batch)
        losses = self.task.losses([(sample.clip, sample.target) for sample in batch], maps)
        total = torch.stack([loss.float() for loss in losses.values()]).sum()
        if not torch.isfinite(total):
            values = ", ".join(f"{name} {loss.item():.3g}" for name, loss in losses.items())
            raise FloatingPointError(
                f"step {self.global_step}: the loss is not finite ({values}); try a lower learning_rate, a longer "
                "warm_up or clip_gradient"
            )
        return {"loss": total, **{name: loss.detach() for name, loss in losses.items()}}

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Average the gradients of parameters that were unfrozen after DistributedDataParallel wrapped the model."""
        if self.trainer.world_size == 1:
            return
        for parameter in self.model.parameters():
            if parameter.grad is not None and id(parameter) not in self._synchronized:
                dist.all_reduce(parameter.grad)
                parameter.grad /= self.trainer.world_size

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], object] | None = None,
    ) -> None:
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)

    def validation_step(self, batch: Sequence[tuple[int, Tensor, Target]], batch_idx: int) -> None:
        with torch.autocast(self.device.type, enabled=False):  # validation is in float32 at every precision of training
            results = self.scoring_task.predict([(clip, target) for _, clip, target in batch])
        for (index, _, target), result in zip(batch, results, strict=True):
            self._scored[index] = result, self.task.truth(target)

    def on_validation_epoch_end(self) -> None:
        scored = self._scored
        self._scored = {}
        if self.trainer.world_size > 1:
            parts: list[dict[int, tuple[object, object]]] = [{}] * self.trainer.world_size
            dist.all_gather_object(parts, scored)
            scored = {index: pair for part in parts for index, pair in part.items()}
        results, truths = zip(*(scored[index] for index in sorted(scored)), strict=True)
        scores = self.scoring_task.score(results, truths)
        # Every process has all results and so the same scores. ``Curves`` passes them to the loggers.
        self.log_dict({f"validate/{name}": value for name, value in scores.items()}, logger=False, sync_dist=True)

    def transfer_batch_to_device(self, batch: object, device: torch.device, dataloader_idx: int) -> object:
        return batch  # the task moves clips one by one, because they can differ in size

    def on_save_checkpoint(self, checkpoint: State) -> None:
        checkpoint[DESCRIPTION] = dict(self.description)
