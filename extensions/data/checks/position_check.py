"""How well the good images of a data set lie on each other, and which detectors that rules out.

position = position_check(datamodule)
position.sentence, position.is_aligned
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from extensions.cache.location import open_cache
from extensions.cache.store import key_of
from extensions.data.alignment.alignment import Alignment
from extensions.data.alignment.registration import Lie, agreement, lies_of, prepared, working_size
from extensions.data.alignment.template import make_template, of_levels
from extensions.data.checks.inspection import inspect_files
from extensions.data.imaging import Imaging, imaging_of
from extensions.data.reading.pixels import read_pixels, shown
from extensions.data.straightening import aligned, levels_of, lie_in

if TYPE_CHECKING:
    import torch

    from extensions.backbones import ResolvedWeights

VERSION = 6  # raised when the numbers of the same images would differ
BACKBONE = "tf_efficientnet_lite0"
STRIDE = 8  # px, of the layer whose features are compared
SIDE = 256  # px, that images are looked at in
GRID = 16  # positions along a side: the mean of 2 x 2 features, or 16 px
COARSE = 128  # px, the longer side of what is registered: two fifths of the time of aligning, the same verdicts
N_IMAGES = 16
FEWEST = 4
ALIGNED = 0.5  # of the variance: what a place explains is at least what it leaves open
MOVED = 0.25  # share of images that lie otherwise from which on they do not lie alike
TURN, SHIFT = 10.0, 1 / 32  # degrees and parts of the side: half a place at the rim of an image, and in it
BETTER = 0.1  # of the correlation, less is no proof that an image lies otherwise
SOUND = 0.5  # median correlation of registered images


@dataclass(frozen=True)
class Position:
    """How much the place in the image says of what is there.

    Attributes:
        score: 0 where features at the same place of different images differ as much as at shuffled places, 1 where
            they are the same. It is the share of the features' variance that lies between places and not between
            images at a place.
        registered: The same once the images were turned and shifted onto each other; None where that found nothing in
            common.
        moved: Share of the images that registration turns by more than 10 degrees or shifts by more than a 32nd of the
            side, and that agree clearly better then, by 0.1 of the correlation of what is not the same all around the
            middle; None as before. A part that looks the same all around counts as lying alike however it is turned.
        n_images: That were compared.
    """

    score: float
    registered: float | None
    moved: float | None
    n_images: int

    @property
    def lies_differently(self) -> bool:
        """Whether more than a quarter of the images lie turned or shifted, and registered they agree better."""
        if self.registered is None or self.moved is None:
            return False
        return self.moved > MOVED and self.registered > self.score

    @property
    def says_little(self) -> bool:
        """Whether a place tells little of what is there: a texture, or parts that nothing brings onto each other."""
        return self.score < ALIGNED and not self.lies_differently

    @property
    def is_aligned(self) -> bool:
        """Whether what is at a place is found there in other images, too."""
        return not self.says_little and not self.lies_differently

    @property
    def sentence(self) -> str:
        """The number for a person, and what it means."""
        told = f"position score {self.score:.2f} (0: no better than shuffled, 1: the same in all images)"
        if self.registered is not None and self.moved is not None:
            told += f", {self.registered:.2f} once registered, by which {self.moved:.0%} of them are turned or shifted"
        if self.is_aligned:
            return f"the good images lie alike: {told}"
        if self.lies_differently:
            return f"the good images do not lie alike: {told}; align: true straightens them"
        return (
            f"a place says little of what is there: {told}; no matter for a texture, but if these are parts, no turn "
            "or shift makes them alike"
        )


def position_check(datamodule: Any) -> Position | str:
    """Compare the good training images of a data set, place by place; a few seconds, once for the same images.

    Args:
        datamodule: Ours or anomalib's.

    Returns:
        What was found, or one sentence that says why nothing could be.
    """
    if not hasattr(datamodule, "train_data"):
        datamodule.setup()
    samples, imaging = datamodule.train_data.samples, imaging_of(datamodule)
    good = sorted({str(path) for path in samples["image_path"][samples["label_index"] == 0]})
    if imaging.tiling is not None:
        return "images in tiles are not looked at place by place"
    facts = inspect_files(good)
    by_content = dict(sorted({facts[path].sha256: path for path in good}.items()))
    chosen = [by_content[one] for one in _spread(list(by_content), N_IMAGES)]
    if len(chosen) < FEWEST:
        return f"{len(chosen)} good training images are too few to tell how they lie; {FEWEST} are needed"
    weights = _weights()
    if isinstance(weights, str):
        return weights
    key = key_of(
        position=[facts[path].sha256 for path in chosen],
        weights=weights.sha256,
        how=f"{imaging.range} {imaging.channels} {imaging.region} {imaging.alignment}",
        version=VERSION,
    )
    cache = open_cache()
    known = cache.get("facts", key)
    if known is None:
        known = np.array(_scores(chosen, imaging, weights))
        cache.put("facts", key, known)
    score, registered, moved = map(float, known)
    if np.isnan(registered):
        return Position(score, None, None, len(chosen))
    return Position(score, registered, moved, len(chosen))


def position_score(features: np.ndarray, inside: np.ndarray | None = None) -> float:
    """The share of the variance of features that their place explains.

    One minus the mean squared distance between features at the same place of two images, over that between features
    at any two places of two images, which is what shuffling the places gives on average: so nothing is drawn. Each
    channel is divided by its standard deviation first. 0 at least.

    Args:
        features: (N, C, h, w), two images or more.
        inside: (h, w) bool, the places that count; None for all.
    """
    n_images, n_channels = features.shape[:2]
    values = features.reshape(n_images, n_channels, -1).astype(np.float64)
    if inside is not None:
        values = values[:, :, inside.ravel()]
    spread = values.std(axis=(0, 2), keepdims=True)
    values = (values - values.mean(axis=(0, 2), keepdims=True)) / np.maximum(spread, 1e-12)
    same = 2 * values.var(axis=0, ddof=1).mean(axis=1)  # (C,), mean squared distance of two images at one place
    # Of two images at any two places: all pairs of values less those of one image.
    n_places = values.shape[2]
    sums, squares = values.sum(axis=2), (values**2).sum(axis=2)  # (N, C)
    total = 2 * n_images * squares.sum(axis=0) * n_places - 2 * sums.sum(axis=0) ** 2
    own = (2 * n_places * squares - 2 * sums**2).sum(axis=0)
    shuffled = (total - own) / (n_images * (n_images - 1) * n_places**2)
    return float(max(0.0, 1 - same.mean() / max(float(shuffled.mean()), 1e-12)))


def _spread(items: Sequence[str], n: int) -> list[str]:
    """So many of them, evenly spaced; they are sorted by content, so this is as good as drawn."""
    if len(items) <= n:
        return list(items)
    return [items[place] for place in np.linspace(0, len(items) - 1, n).round().astype(int)]


def _weights() -> ResolvedWeights | str:
    """Of the backbone, where they are on this machine; nothing is fetched for a check."""
    from extensions.backbones.errors import WeightsError
    from extensions.backbones.manifest import row_for
    from extensions.backbones.resolve import from_folder, from_package

    row, reasons = row_for(BACKBONE), []
    for place in (from_folder, from_package):
        try:
            found = place(BACKBONE, row)
        except WeightsError as error:
            return f"how the images lie was not measured: {error}"
        if not isinstance(found, str):
            return found
        reasons.append(found)
    return f"how the images lie was not measured, which takes the weights of {BACKBONE}: {'; '.join(reasons)}"


def _scores(paths: list[str], imaging: Imaging, weights: ResolvedWeights) -> tuple[float, float, float]:
    """The scores of images as they lie and registered, and the share that moved; NaN where nothing is in common."""
    images = [_seen(path, imaging) for path in paths]
    inside = _inside(imaging)
    extractor = _extractor(weights)
    score = position_score(_features([shown(one, imaging) for one in images], extractor), inside)
    if len({one.shape for one in images}) > 1:
        return score, float("nan"), float("nan")
    size = working_size((images[0].shape[0], images[0].shape[1]), COARSE)
    seen = [prepared(levels_of(one, imaging), size) for one in images]
    levels, correlations = make_template(seen)
    if np.median(correlations) < SOUND:
        return score, float("nan"), float("nan")
    onto = Imaging(range=imaging.range, channels=imaging.channels, alignment=Alignment(levels, 0.0))
    template = of_levels(levels)
    lies = [Lie(np.eye(2, 3), 0.0) if lie is None else lie for lie in lies_of(seen, template)]
    registered = [shown(aligned(one, onto, lie), imaging) for one, lie in zip(images, lies, strict=True)]
    moved = [
        (abs(lie.turn) > TURN or lie.shift(size) > SHIFT)
        and agreement(one, template, lie.matrix) > agreement(one, template, np.eye(2, 3)) + BETTER
        for one, lie in zip(seen, lies, strict=True)
    ]
    return score, position_score(_features(registered, extractor), inside), float(np.mean(moved))


def _seen(path: str, imaging: Imaging) -> np.ndarray:
    pixels = read_pixels(path, imaging)
    return pixels if imaging.alignment is None else aligned(pixels, imaging, lie_in(pixels, imaging))


def _inside(imaging: Imaging) -> np.ndarray | None:
    """(GRID, GRID) bool, the places with any pixel inside of a fixed region."""
    if imaging.region is None or imaging.region.mask is None:
        return None
    share = cv2.resize(imaging.region.mask.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA)
    return share > 0


def _extractor(weights: ResolvedWeights) -> Any:
    import torch

    from extensions.backbones import architecture, layer_table, load_backbone_weights
    from extensions.backbones.map_extractor import MapExtractor

    layer = next(one.name for one in layer_table(BACKBONE) if one.reduction == STRIDE)
    with torch.random.fork_rng(devices=[]):
        # torch computes: 16 images are seen sooner than a network is converted.
        extractor = MapExtractor(architecture(BACKBONE), (layer,), pre_trained=False)
    load_backbone_weights(extractor, BACKBONE, weights.path)
    return extractor.eval()


def _features(images: list[np.ndarray], extractor: Any) -> np.ndarray:
    """(N, C, GRID, GRID) of images (H, W, 3) uint8."""
    import torch

    from extensions.backbones import normalization

    mean, deviation = (np.array(values, np.float32) for values in normalization(BACKBONE))
    found: list[np.ndarray] = []
    with torch.inference_mode():
        for image in images:
            small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
            batch = torch.from_numpy((small - mean) / deviation).permute(2, 0, 1)[None].contiguous()
            maps: torch.Tensor = next(iter(extractor(batch).values()))
            found.append(torch.nn.functional.adaptive_avg_pool2d(maps, GRID)[0].numpy())
    return np.stack(found)


def position_warning(model: Any, found: Position) -> str | None:
    """One sentence for who runs a detector that is bound to places on images that do not lie alike; else None."""
    if not needs_alignment(model) or found.is_aligned:
        return None
    name = type(model).__name__
    return f"{name} compares each place with the same place of other images, and {found.sentence}"


def needs_alignment(model: Any) -> bool:
    """Whether a detector compares each place with the same one of other images; of anomalib's own by their names."""
    return bool(getattr(model, "needs_alignment", type(model).__name__ in ("Padim", "Dfm", "Fre", "Cflow")))
