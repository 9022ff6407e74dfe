"""Registration: RegAD's way to learn from many products what lies alike in the images of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision.transforms.v2 import functional as TF

from extensions import backbones
from extensions.configuration.checked_values import check_values
from extensions.models.reg_ad.network import RegistrationNetwork
from extensions.self_supervised.images.image_list import ImageList
from extensions.self_supervised.images.view_dataset import ViewMaker, Views
from extensions.self_supervised.methods.method import Method

TESTED = {"test", "ground_truth"}  # folders of data sets that a training must not look into


class Registration(Method):
    """Learns to align the images of a product in feature space, from many products, for one that it never saw.

    Huang, Guan, Jiang, Zhang, Spratling, Wang, "Registration based Few-Shot Anomaly Detection", 2022,
    https://arxiv.org/abs/2207.07361. A batch is of one product (a class of `ImageFolders`). Each image is registered to
    the mean of a few others of its product, drawn anew in each epoch; nothing is augmented. What is exported is the
    network that `extensions.RegAd` takes as `registration`. Leave out the product that is to be tested:
    `data.init_args.leave_out`.

    Differs from the authors' code: the rate falls with each step from `lr` to 0, theirs with each epoch; images are
    normalized as the backbone's weights expect, theirs are not; the last epoch is kept, theirs is the one that is best
    on the test set of the product left out.

    Args:
        backbone: timm name; its own weights are where it starts.
        layers: Behind which a transformer stands, see `RegistrationNetwork`.
        transformer: Kind of transform, see `RegistrationNetwork`.
        n_supports: Other images of the product that an image is registered to (the paper's k).
        weights: File to start from; it needs no layers deeper than the last in use.
        pre_trained: False starts from scratch.
        lr: Largest learning rate.
        weight_decay: Of SGD.
        warmup_epochs: Over which the rate rises from 0.
        kwargs: See `Method`.

    Raises:
        ValueError: Unknown backbone, layer or transformer, or a number out of range.
        WeightsError: Weights that do not fit.

    Example:
        >>> method = Registration("resnet18", n_supports=2)
    """

    one_class = True
    encoder: RegistrationNetwork

    def __init__(
        self,
        backbone: str = "resnet18",
        *,
        layers: Sequence[str] | None = None,
        transformer: str = "rotation_scale",
        n_supports: int = 2,
        weights: str | Path | None = None,
        pre_trained: bool = True,
        lr: float = 1e-4,
        weight_decay: float = 0.0,
        warmup_epochs: int = 0,
        **kwargs: Any,
    ) -> None:
        check_values(n_supports=(n_supports, n_supports >= 1, "1 or more"))
        # Set before the network is built, which happens in `Method`.
        self.layers, self.transformer = layers, transformer
        rates: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay, "warmup_epochs": warmup_epochs}
        super().__init__(backbone, weights=weights, pre_trained=pre_trained, **rates, **kwargs)
        self.n_supports = n_supports

    def build_network(self, *, weights: str | Path | None, pre_trained: bool) -> nn.Module:
        """The backbone with its transformers, and the siamese head."""
        network = RegistrationNetwork(self.backbone, self.layers, transformer=self.transformer)
        if weights is not None or pre_trained:
            backbones.load_backbone_weights(network.extractor, self.backbone, weights)
        return network

    @property
    def network_settings(self) -> dict[str, Any]:
        """Layers and kind of transform."""
        return {"layers": list(map(str, self.encoder.extractor.layers)), "transformer": self.transformer}

    def prepare(self, found: ImageList) -> None:
        """Look at the classes.

        Raises:
            ValueError: One has too few images, or images that test detectors are among them.
        """
        tested = [name for name in found.names if TESTED.intersection(Path(name).parts[:-1])]
        if tested:
            msg = (
                f"{tested[0]} is among the {len(found)} images to learn from, and tests detectors: set "
                "data.init_args.subfolder to what each product is trained on, such as train/good"
            )
            raise ValueError(msg)
        for index, kind in enumerate(found.classes):
            n_images = found.labels.count(index)
            if n_images <= self.n_supports:
                msg = (
                    f"class {kind!r} has {n_images} images; expected {self.n_supports + 1} or more, one and the "
                    f"{self.n_supports} that it is registered to (model.init_args.n_supports): add some, or leave the "
                    "class out (data.init_args.leave_out)"
                )
                raise ValueError(msg)

    def on_fit_start(self) -> None:
        """Refuse several devices.

        Raises:
            ValueError: There are.
        """
        if self.trainer.world_size > 1:
            msg = f"trainer: Registration trains on one device, found {self.trainer.world_size}; set devices to 1"
            raise ValueError(msg)

    def view_maker(self, image_size: int) -> ViewMaker:
        """An image and others of its class, whole."""
        return QueryAndSupports(image_size, self.n_supports, self.normalization)

    def loss(self, batch: Views) -> tuple[torch.Tensor, torch.Tensor]:
        """How little images and their supports agree, and the features of each position (N * h * w, C)."""
        supports = [batch[f"support_{number}"] for number in range(self.n_supports)]  # (N, 3, H, W) each
        maps = self.encoder(torch.cat([batch["query"], *supports]))  # ((1 + n_supports) * N, C, h, w)
        query, *others = maps.float().chunk(1 + self.n_supports)
        with torch.autocast(maps.device.type, enabled=False):  # half precision is too coarse for similarities
            loss = self.encoder.registration_loss(query, torch.stack(others).mean(dim=0))
        return loss, query.permute(0, 2, 3, 1).flatten(0, 2)


class QueryAndSupports:
    """An image (H, W, 3) uint8 and other ones of its class, each (3, size, size), normalized."""

    def __init__(self, image_size: int, n_supports: int, normalize: dict[str, list[float]]) -> None:
        self._size, self._n_supports, self._normalize = image_size, n_supports, normalize

    def __call__(self, image: np.ndarray, label: int, other: Callable[[], np.ndarray]) -> Views:
        """The image as `query`, and `support_0`, `support_1` and so on."""
        supports = {f"support_{number}": self._whole(other()) for number in range(self._n_supports)}
        return {"query": self._whole(image)} | supports

    def _whole(self, image: np.ndarray) -> torch.Tensor:
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        return TF.normalize(TF.resize(pixels, [self._size, self._size], antialias=True), **self._normalize)
