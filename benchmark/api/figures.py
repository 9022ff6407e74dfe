"""A figure of what a run decided: image, heat map and mask of its best, its closest calls and its errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from extensions.runtime.heat_map import hatched, heat_map

if TYPE_CHECKING:
    import pandas as pd
    from anomalib.data import AnomalibDataModule
    from anomalib.models import AnomalibModule
    from matplotlib.figure import Figure

    from benchmark.records.record import Record

INCH = 1.7  # side of a panel
COLUMNS = 4  # suspects in a row


@dataclass(frozen=True)
class Panel:
    """What is drawn of one image: `(H, W, 3)` uint8, `(H, W)` raw map, bool mask and what is not looked at, or None."""

    image: np.ndarray
    anomaly_map: np.ndarray | None
    mask: np.ndarray | None
    outside: np.ndarray | None = None


def choose(scores: pd.DataFrame, threshold: float | None, n: int) -> dict[str, pd.DataFrame]:
    """The test images worth seeing: rows of `scores` by heading, the clearest first.

    Best and closest calls are decided rightly, farthest from the threshold and nearest to it; the others wrongly.

    Args:
        scores: Of a run: label, score (raw, higher is more anomalous).
        threshold: Raw; None where there is none, so that nothing is missed and nothing a false alarm.
        n: Of each heading at most.
    """
    sign = np.where(scores["label"] == 1, 1.0, -1.0)
    margin = (scores["score"] - (threshold or 0.0)) * sign  # below 0 is decided wrongly
    ordered = scores.assign(margin=margin).sort_values("margin", kind="stable")
    if threshold is None:
        return {"best": ordered[::-1].head(n), "worst": ordered.head(n)}
    is_called = ordered["score"] >= threshold
    right = ordered[is_called == (ordered["label"] == 1)]
    found = {"best": right[::-1].head(n), "closest calls": right.head(n)}
    wrong = {"missed": ordered[(ordered["label"] == 1) & ~is_called]}
    wrong |= {"false alarms": ordered[(ordered["label"] == 0) & is_called]}
    return found | {f"{name} ({len(rows)})": rows.head(n) for name, rows in wrong.items()}


def draw(record: Record, scores: pd.DataFrame, *, model: AnomalibModule, data: AnomalibDataModule, n: int) -> Figure:
    """The figure of a run, of each heading `n` images at most; closed, so that a notebook shows it once."""
    import matplotlib.pyplot as plt

    threshold = record.thresholds.image
    found = choose(scores, threshold, n)
    chosen = {heading: rows for heading, rows in found.items() if len(rows)}
    none = "".join(f", {heading}" for heading in found if heading not in chosen)
    panels = _panels(model, data, {image for rows in chosen.values() for image in rows["image"]})
    has_masks = any(panel.mask is not None for panel in panels.values())
    # The values drawn as cold and as hot are equal for all images of the figure.
    maps = [panel.anomaly_map for panel in panels.values() if panel.anomaly_map is not None]
    low, high = (min(float(m.min()) for m in maps), max(float(m.max()) for m in maps)) if maps else (0.0, 1.0)
    width = 1 + bool(maps) + has_masks
    columns = max([1, *(len(rows) for rows in chosen.values())])
    figure, axes = plt.subplots(
        len(chosen), columns * width, figsize=(INCH * columns * width, (INCH + 0.35) * len(chosen)), squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for line, (heading, rows) in zip(axes, chosen.items(), strict=True):
        line[0].text(-0.08, 0.5, heading, rotation=90, ha="right", va="center", transform=line[0].transAxes)
        for place, row in enumerate(rows.to_dict("records")):
            parts = line[place * width : (place + 1) * width]
            _draw_panel(parts, panels[row["image"]], (low, high), masks=has_masks, maps=bool(maps))
            truth = (row["kind"] or "anomalous") if row["label"] else "normal"
            parts[0].set_title(f"{truth}, score {row['score']:.3g}", fontsize=8, loc="left")
    told = "" if threshold is None else f", threshold {threshold:.3g}"
    figure.suptitle(f"{record.model} on {record.dataset.name}{told}{none}", fontsize=10)
    figure.tight_layout()
    plt.close(figure)
    return figure


def draw_suspects(suspects: pd.DataFrame, paths: Mapping[str, Path]) -> Figure:
    """Training images with what is known of them, in rows of four; closed, as in `draw`.

    Args:
        suspects: Rows of `suspects.csv`.
        paths: The file of each image, by its name there.
    """
    import matplotlib.pyplot as plt

    from extensions.data import read_image

    knows = suspects["injected"].notna().all()  # in a plant nobody does
    lines = -(-len(suspects) // COLUMNS) or 1
    figure, axes = plt.subplots(lines, COLUMNS, figsize=(3 * COLUMNS, 3.3 * lines), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, row in zip(axes.flat, suspects.to_dict("records"), strict=False):
        axis.imshow(read_image(paths[str(row["image"])]))
        kind = "injected" if row["injected"] else "good"
        axis.set_title(f"score {row['score']:.3g}" + (f", {kind}" if knows else ""), fontsize=9)
    figure.tight_layout()
    plt.close(figure)
    return figure


def _draw_panel(parts: Any, panel: Panel, limits: tuple[float, float], *, masks: bool, maps: bool) -> None:
    """Image, heat map over the image, mask (black for a normal image)."""
    from PIL import Image

    parts[0].imshow(panel.image)
    if maps and panel.anomaly_map is not None:
        heat = Image.fromarray(heat_map(panel.anomaly_map, limits)).resize(panel.image.shape[1::-1])
        blended = np.asarray(Image.blend(Image.fromarray(panel.image), heat, 0.5))
        parts[1].imshow(blended if panel.outside is None else hatched(blended, panel.outside))
    if masks:
        mask = np.zeros(panel.image.shape[:2], bool) if panel.mask is None else panel.mask
        parts[-1].imshow(mask, cmap="gray", vmin=0, vmax=1)


def _panels(model: AnomalibModule, datamodule: AnomalibDataModule, images: set[str]) -> dict[str, Panel]:
    """By name of the image, as the model sees it."""
    from extensions.data.checks.fingerprints import image_names

    name_of = image_names(datamodule)
    samples = datamodule.test_data.samples["image_path"]
    places = {name: place for place, name in enumerate(map(name_of, map(str, samples))) if name in images}
    return {name: _panel(model, datamodule.test_data[place]) for name, place in places.items()}


def _panel(model: AnomalibModule, item: Any) -> Panel:
    import torch
    from torchvision.transforms.v2 import Compose, Resize
    from torchvision.tv_tensors import Mask

    from extensions.cache.transform_parts import split_transform
    from extensions.data.reading.arrays import viewable
    from extensions.data.tiling.resizing import resized_image
    from extensions.models.common.region_mixin import inside_of
    from extensions.models.common.tiled_scoring import raw_scores, tiling_of

    tiling = tiling_of(model)
    transform = getattr(model.pre_processor, "transform", None)
    shape, normalize = split_transform(transform) or (None, transform)
    image = item.image if shape is None else shape(item.image)  # (3, H, W), the part that the model sees
    if tiling is not None:  # what is drawn is the whole image
        shape = None if tiling.resize is None else Resize(tiling.resize)
        image = item.image if tiling.resize is None else resized_image(item.image, tiling.resize)
    inside = None
    with torch.inference_mode():
        if tiling is not None:
            output = raw_scores(model, image[None])
        else:
            prepared = (image if normalize is None else Compose([normalize])(image))[None]
            output, inside = model.model(prepared), inside_of(model, prepared)
    found = getattr(output, "anomaly_map", None)
    mask = item.gt_mask
    if mask is not None:
        mask = Mask(mask.reshape(1, *mask.shape[-2:]))
        mask = (mask if shape is None else shape(mask))[0].numpy() > 0
    return Panel(
        image=viewable((image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()),
        anomaly_map=None if found is None else found[0].reshape(found.shape[-2:]).float().numpy(),
        mask=mask,
        outside=None if inside is None else ~inside[0, 0].numpy(),
    )
