"""What a probe looks at: raw pixels, or the pooled features of a frozen backbone, trained or not."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torchvision.transforms.v2.functional import normalize, resize, to_dtype

from extensions import backbones
from extensions.runtime.progress import progress_bar
from extensions.self_supervised.probe.probe_data import LabelledImages

if TYPE_CHECKING:
    from extensions.backbones.frozen import FrozenFeatureExtractor

PIXELS = "pixels"
PIXEL_SIDE = 16  # px
BATCH_SIZE = 64
REDUCTION = 16  # stride of the layer that is probed by default: a ResNet's layer3


@dataclass(frozen=True)
class Encoder:
    """One encoder of a config, its names checked and its weights found.

    Attributes:
        backbone: timm name, or `pixels`.
        layers: Whose averages over all positions are the features; a probe each.
        weights: Path or name of a file; None for the weights of the name.
        pre_trained: False for random weights.
        origin: `pixels`, `random`, `imagenet`, the tag of the backbone, or the name of the given file.
        sha256: Of the weights file; "" where there is none.
    """

    backbone: str
    layers: tuple[str, ...]
    weights: str | None = None
    pre_trained: bool = True
    origin: str = PIXELS
    sha256: str = ""


def find_encoder(
    backbone: str,
    *,
    layers: Sequence[str] | None = None,
    weights: str | None = None,
    pre_trained: bool = True,
) -> Encoder:
    """Check names and find weights; no network is built.

    Args:
        backbone: timm name, `arch.tag`; or `pixels`, 16 x 16 RGB values.
        layers: Names of feature maps; None for the last one at stride 16 (a ResNet's layer3).
        weights: Path or name of a file; None for the weights of the name.
        pre_trained: False for random weights, drawn from the run's seed.

    Raises:
        ValueError: Unknown backbone or layer, or settings that contradict each other.
        WeightsNotFoundError: The weights are nowhere.
    """
    if backbone == PIXELS:
        if layers is not None or weights is not None or not pre_trained:
            msg = "encoder 'pixels' has neither layers nor weights, trained or not: leave them out"
            raise ValueError(msg)
        return Encoder(PIXELS, (f"{PIXEL_SIDE}x{PIXEL_SIDE}",))
    if not pre_trained and weights is not None:
        msg = (
            f"encoder {backbone!r}: weights={weights!r} is given but pre_trained: false ignores it; drop one of the two"
        )
        raise ValueError(msg)
    if backbone.lower().rstrip("s") == PIXELS[:-1]:
        msg = f"unknown encoder {backbone!r}; did you mean {PIXELS!r}?"
        raise ValueError(msg)
    backbones.check_backbone(backbone)
    if layers is None:
        layers = backbones.default_layers(backbone, reductions=(REDUCTION,))
    layers = backbones.check_layers(backbone, layers)
    if not pre_trained:
        return Encoder(backbone, layers, pre_trained=False, origin="random")
    sha256 = backbones.resolve_weights(backbone, weights).sha256
    return Encoder(backbone, layers, weights, origin=_origin(backbone, weights), sha256=sha256)


def pooled_features(
    encoder: Encoder, layers: Sequence[str], splits: Sequence[LabelledImages], *, image_size: int, seed: int
) -> dict[str, list[np.ndarray]]:
    """Features of all images, for each of the layers an array (N, F) float32 for each split.

    Images are resized (both sides, with antialiasing) and normalized as for a detector with this backbone; a layer's
    features are its average over all positions. Computed on the GPU where there is one.

    Args:
        encoder: From `find_encoder`.
        layers: Some of the encoder's.
        splits: The training split first.
        image_size: Height and width in px that the network sees; of pixels only 16 x 16 are left.
        seed: Of random weights.

    Raises:
        WeightsError: The weights do not fit the backbone.
        ValueError: An image cannot be read; or the backbone gives no maps (N, C, h, w).
    """
    if encoder.backbone == PIXELS:
        pixels = [np.concatenate([b.flatten(1).numpy() for b in _batches(s, PIXEL_SIDE, PIXELS)]) for s in splits]
        return dict.fromkeys(layers, pixels)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    extractor = build_extractor(encoder, layers, seed=seed).to(device)
    mean, std = map(list, backbones.normalization(encoder.backbone))
    if not encoder.pre_trained:
        order = np.random.default_rng(seed).permutation(len(splits[0]))
        shown = _batches(splits[0], image_size, f"calibrating {encoder.backbone}", order=order)
        with _explained(encoder, image_size):
            calibrate_batch_norm(extractor.feature_extractor, (normalize(b, mean, std).to(device) for b in shown))
    features: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
    for split in splits:
        parts: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
        for batch in _batches(split, image_size, f"{encoder.backbone}, {encoder.origin}: {split.name}"):
            with torch.no_grad(), _explained(encoder, image_size):
                maps = extractor.compute(normalize(batch, mean, std).to(device))
            for layer, width in zip(extractor.layers, extractor.out_dims, strict=True):
                parts[str(layer)].append(_pooled(maps[str(layer)], width, encoder.backbone))
        for layer in layers:
            features[layer].append(np.concatenate(parts[layer]))
    return features


def calibrate_batch_norm(network: nn.Module, batches: Iterator[torch.Tensor]) -> None:
    """Replace the running statistics of batch norm by the average of those of these batches.

    Weights stay. A random network needs it: its running mean of 0 and variance of 1 are not those of its activations,
    so that what leaves one layer is not what the next one would see in training.

    Args:
        network: Its other layers are in eval mode while it runs; all are when it is done.
        batches: Images (n, 3, H, W), mixed and of about equal numbers; not taken where there is no batch norm.
    """
    network.eval()
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [module.momentum for module in norms]
    for module in norms:
        module.reset_running_stats()
        module.momentum = None  # torch's sign for the average of all batches
        module.train()
    with torch.no_grad():
        for batch in batches if norms else ():
            network(batch)
    for module, momentum in zip(norms, momenta, strict=True):
        module.momentum = momentum
    network.eval()


@contextmanager
def _explained(encoder: Encoder, image_size: int) -> Iterator[None]:
    """Name the encoder and the size in what timm or torch say of images that are too small or not of the one size."""
    try:
        yield
    except (AssertionError, RuntimeError) as error:
        msg = (
            f"encoder {encoder.backbone!r} cannot compute images of {image_size} px: {error}; set image_size to one "
            "that it takes, or leave it out of encoders"
        )
        raise ValueError(msg) from error


def build_extractor(encoder: Encoder, layers: Sequence[str], *, seed: int) -> FrozenFeatureExtractor:
    """The frozen network with its weights, or with random ones.

    Raises:
        WeightsError: The weights do not fit the backbone.
    """
    from extensions.backbones.frozen import FrozenFeatureExtractor

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        name = backbones.architecture(encoder.backbone)
        extractor = FrozenFeatureExtractor(name, list(layers), pre_trained=False).eval()
    if encoder.pre_trained:
        backbones.load_backbone_weights(extractor, encoder.backbone, encoder.weights)
    return extractor


def _batches(
    split: LabelledImages, side: int, title: str, *, order: np.ndarray | None = None
) -> Iterator[torch.Tensor]:
    """Images (n, 3, side, side) float32 in [0, 1]; all cores decode the next batch while one is worked on."""

    def load(index: int) -> torch.Tensor:
        image = torch.from_numpy(np.array(split.read(index))).permute(2, 0, 1)  # (3, H, W)
        return resize(to_dtype(image, torch.float32, scale=True), [side, side], antialias=True)

    todo = np.array_split(np.arange(len(split)) if order is None else order, -(-len(split) // BATCH_SIZE))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        ahead = pool.map(load, todo[0].tolist())
        for number in progress_bar(range(len(todo)), title=title, unit="batch"):
            images = list(ahead)
            if number + 1 < len(todo):
                ahead = pool.map(load, todo[number + 1].tolist())
            yield torch.stack(images)


def _pooled(maps: torch.Tensor, width: int, backbone: str) -> np.ndarray:
    """Maps (n, C, h, w) -> averages over all positions (n, C) float32."""
    if maps.ndim != 4 or maps.shape[1] != width:
        msg = f"backbone {backbone!r} gives features of shape {tuple(maps.shape)}; expected (n, {width}, h, w)"
        raise ValueError(msg)
    return maps.float().mean(dim=(2, 3)).cpu().numpy()


def _origin(backbone: str, weights: str | None) -> str:
    """What a table calls the weights."""
    import timm

    if weights is not None:
        return Path(weights).stem
    _, _, tag = backbone.partition(".")
    if tag or backbone in backbones.names():  # every untagged row of the manifest was trained on ImageNet
        return tag or "imagenet"
    config = timm.get_pretrained_cfg(backbone)
    return (config.tag if config else "") or "imagenet"
