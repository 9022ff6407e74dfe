"""A page of images, each beside itself with its mask outlined."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import pandas as pd

from extensions.data.imaging import Imaging
from extensions.data.reading.image_files import read_mask
from extensions.data.reading.pixels import read_shown
from extensions.data.regions.shown import inside_of_image
from extensions.runtime.heat_map import hatched

_GAP = 4  # px
_TITLE = 16  # px
_TILE = 224  # px, longer side of an image
_COLUMNS = 4
_OUTLINE = (255, 60, 30)


def choose_samples(samples: pd.DataFrame, n: int) -> pd.DataFrame:
    """Draw ``n`` samples, the same each time: anomalous ones first, as evenly over their kinds as these allow."""
    mixed = samples.sample(frac=1, random_state=0)
    turn = mixed.groupby("kind").cumcount()
    is_good = mixed["label_index"] == 0
    order = pd.DataFrame({"is_good": is_good, "turn": turn, "kind": mixed["kind"]}).sort_values(
        ["is_good", "turn", "kind"]
    )
    return samples.loc[order.index[:n]].sort_values(["kind", "image_path"])


def contact_sheet(samples: pd.DataFrame, imaging: Imaging | None = None) -> np.ndarray:
    """Draw the samples (columns image_path, mask_path, kind) in reading order: (height, width, 3) uint8.

    Args:
        samples: Of a data set.
        imaging: How it reads images; None for 8 bits of RGB. What lies outside of its region of interest is hatched.
    """
    rows = list(samples[["image_path", "mask_path", "kind"]].itertuples(index=False))
    return _grid([_panel(path, mask, kind, imaging or Imaging()) for path, mask, kind in rows])


def _panel(image_path: str, mask_path: str, title: str, imaging: Imaging) -> np.ndarray:
    image = read_shown(image_path, imaging)
    scale = _TILE / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    marked = small.copy()
    if imaging.region is not None:
        inside = inside_of_image(imaging.region, image).astype(np.uint8)
        marked = hatched(marked, cv2.resize(inside, size, interpolation=cv2.INTER_NEAREST) == 0)
    if mask_path:
        mask = cv2.resize(read_mask(mask_path), size, interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(marked, contours, -1, _OUTLINE, 1)
    panel = np.full((_TILE + _TITLE, 2 * _TILE + _GAP, 3), 255, dtype=np.uint8)
    panel[_TITLE : _TITLE + size[1], : size[0]] = small
    panel[_TITLE : _TITLE + size[1], _TILE + _GAP : _TILE + _GAP + size[0]] = marked
    cv2.putText(panel, title[:40], (2, _TITLE - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return panel


def _grid(panels: Sequence[np.ndarray]) -> np.ndarray:
    height, width = panels[0].shape[0] + _GAP, panels[0].shape[1] + 3 * _GAP
    sheet = np.full((math.ceil(len(panels) / _COLUMNS) * height, _COLUMNS * width, 3), 255, dtype=np.uint8)
    for index, panel in enumerate(panels):
        y, x = index // _COLUMNS * height, index % _COLUMNS * width
        sheet[y : y + panel.shape[0], x : x + panel.shape[1]] = panel
    return sheet
