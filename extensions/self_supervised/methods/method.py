"""What all ways of pretraining share: an encoder, an optimizer, and a watch on the loss and on collapse."""

import math
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.nn import functional as F

from extensions.backbones import normalization
from extensions.configuration.checked_values import check_values
from extensions.self_supervised.images.image_list import ImageList
from extensions.self_supervised.images.view_dataset import ViewMaker, Views
from extensions.self_supervised.methods.encoder import build_encoder

STAMP = "workbench_pretraining"  # key of a checkpoint


class Method(LightningModule):
    """A way of pretraining a backbone; subclasses say what its views and its loss are.

    The optimizer is SGD, its rate rises over the first epochs and falls along half a cosine to 0 (Loshchilov and
    Hutter, "SGDR", 2017, https://arxiv.org/abs/1608.03983, without restarts), with each step.

    Args:
        backbone: timm architecture or `arch.tag`.
        weights: File to start from, complete; None starts from scratch.
        pre_trained: Start from the backbone's own weights.
        lr: Largest learning rate.
        momentum: Of SGD.
        weight_decay: Of SGD; biases and what belongs to normalization have none.
        warmup_epochs: Over which the rate rises from 0.

    Raises:
        ValueError: Unknown backbone, or a number out of range.
        WeightsError: Weights that do not fit.

    Attributes:
        steady: Names of modules whose rate neither rises nor falls.
    """

    one_class: ClassVar[bool] = False  # whether the images of a batch, and those drawn beside them, are of one class
    steady: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        backbone: str = "resnet18",
        *,
        weights: str | Path | None = None,
        pre_trained: bool = False,
        lr: float = 0.06,
        momentum: float = 0.9,
        weight_decay: float = 0.0005,
        warmup_epochs: int = 5,
    ) -> None:
        super().__init__()
        check_values(
            lr=(lr, 0 < lr < math.inf, "a number above 0"),
            momentum=(momentum, 0 <= momentum < 1, "a number from 0 to below 1"),
            weight_decay=(weight_decay, 0 <= weight_decay < math.inf, "0 or more"),
            warmup_epochs=(warmup_epochs, warmup_epochs >= 0, "0 or more"),
        )
        self.backbone = backbone
        self.encoder = self.build_network(weights=weights, pre_trained=pre_trained)
        self.encoder.to(memory_format=torch.channels_last)  # a fifth less time a step on a CPU
        self.optimizer_settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        self.warmup_epochs = warmup_epochs
        self.stamp: dict[str, str] = {}

    def build_network(self, *, weights: str | Path | None, pre_trained: bool) -> nn.Module:
        """What is trained and exported; the arguments are those of `Method`."""
        return build_encoder(self.backbone, weights=weights, pre_trained=pre_trained)

    @property
    def network_settings(self) -> dict[str, Any]:
        """What beside the backbone's name builds the network again, plain data; empty for a plain backbone."""
        return {}

    @property
    def n_features(self) -> int:
        """Length of the encoder's output."""
        return int(self.encoder.num_features)

    @property
    def normalization(self) -> dict[str, list[float]]:
        """Mean and standard deviation of each channel that the encoder's input is normalized by."""
        mean, std = normalization(self.backbone)
        return {"mean": list(mean), "std": list(std)}

    def prepare(self, found: ImageList) -> None:
        """Look at the images that were found, before anything is trained."""

    def view_maker(self, image_size: int) -> ViewMaker:
        """From an image (H, W, 3) uint8, its class and a draw of another image to what the loss takes."""
        raise NotImplementedError

    def loss(self, batch: Views) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of a batch, and embeddings (N, K) whose spread tells whether all images look alike to the network."""
        raise NotImplementedError

    def training_step(self, batch: Views, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Take the loss; log it and the spread of the embeddings."""
        loss, embeddings = self.loss(batch)
        spread = embedding_spread(embeddings.detach().float())
        told: dict[str, Any] = {"on_step": True, "on_epoch": True, "prog_bar": True, "batch_size": len(embeddings)}
        told["sync_dist"] = self.trainer.world_size > 1
        self.log("train_loss", loss, **told)
        self.log("embedding_spread", spread, **told)
        return loss

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say in a checkpoint which run it is of."""
        checkpoint[STAMP] = self.stamp

    def configure_optimizers(self) -> Any:
        """SGD whose rate rises and falls with each step."""
        settings = dict(self.optimizer_settings)
        decay = settings.pop("weight_decay")
        n_steps = self.trainer.estimated_stepping_batches
        n_warmup = self.warmup_epochs * math.ceil(n_steps / max(1, self.trainer.max_epochs or 1))

        def share(step: int) -> float:
            return lr_share(step, n_steps=n_steps, n_warmup=min(n_warmup, n_steps // 2))

        groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}  # by whether it is decayed, and steady
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                kind = parameter.ndim > 1, name.split(".")[0] in self.steady
                groups.setdefault(kind, []).append(parameter)
        optimizer = torch.optim.SGD(
            [{"params": group, "weight_decay": decay * kind[0]} for kind, group in groups.items()], **settings
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, [(lambda step: 1.0) if is_steady else share for _, is_steady in groups]
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def lr_share(step: int, *, n_steps: float, n_warmup: float) -> float:
    """Share of the largest learning rate at a step, counted from 0: a line up, then half a cosine down to 0."""
    if step < n_warmup:
        return (step + 1) / (n_warmup + 1)
    return (1 + math.cos(math.pi * min(1.0, (step - n_warmup) / max(1, n_steps - n_warmup)))) / 2


def embedding_spread(embeddings: torch.Tensor) -> torch.Tensor:
    """How far embeddings spread over the sphere: about 1 for random directions, 0 when all are the same.

    The standard deviation of each component of the unit-length embeddings, averaged and divided by that of random
    directions: the measure of collapse of Chen and He, "Exploring Simple Siamese Representation Learning", 2021,
    https://arxiv.org/abs/2011.10566.

    Args:
        embeddings: (N, K).

    Returns:
        A scalar, 0 to about 1.
    """
    unit = F.normalize(embeddings)
    return unit.std(dim=0, correction=0).mean() * math.sqrt(embeddings.shape[1])
