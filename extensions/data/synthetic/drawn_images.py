"""Images with drawn defects, kept in the cache folder."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from extensions.data.checks.inspection import inspect_files
from extensions.data.reading.image_files import read_image
from extensions.data.synthetic.defects import GENERATOR_VERSION, Defect, draw_defect
from extensions.runtime.built_folders import build_once
from extensions.runtime.progress import progress_bar

ATTEMPTS = 60  # to draw a defect inside of a region
MIN_AREA = 20  # px of it that lie inside


def draw_on_half(normal: pd.DataFrame, *, seed: int, inside: np.ndarray | None = None) -> pd.DataFrame:
    """Draw defects on a seeded half of these normal samples, with exact masks; the others stay as they are.

    Args:
        normal: columns as in `extensions.data.datamodules.datamodule.COLUMNS`.
        seed: of the choice and of the defects.
        inside: (H, W) bool, where defects may lie; None for anywhere.
    """
    rows = np.random.default_rng(seed).permutation(len(normal))[: len(normal) // 2]
    drawn = _drawn(normal.iloc[sorted(rows)], seed=seed, inside=inside)
    rest = normal.drop(index=normal.index[sorted(rows)])
    return pd.concat([rest, drawn]).sort_values("image_path", ignore_index=True)


def draw_on_each(normal: pd.DataFrame, n: int, *, seed: int, inside: np.ndarray | None = None) -> pd.DataFrame:
    """Draw ``n`` images with a defect on these normal samples, in turn, with exact masks; arguments of `draw_on_half`.

    Returns:
        The drawn samples alone; the normal ones stay what they are.
    """
    order = np.random.default_rng(seed).permutation(len(normal))
    return _drawn(normal.iloc[[order[place % len(order)] for place in range(n)]], seed=seed, inside=inside)


def _drawn(samples: pd.DataFrame, *, seed: int, inside: np.ndarray | None) -> pd.DataFrame:
    """These samples with a defect on each."""
    drawn = samples.copy()
    bases = [Path(path) for path in drawn["image_path"]]
    parameters = parameters_of(bases, seed)
    if inside is not None:
        parameters["inside"] = hashlib.sha256(np.packbits(inside).tobytes()).hexdigest()
    folder = build_once("drawn", parameters, lambda folder: _write_numbered(folder, bases, seed=seed, inside=inside))
    names = [f"{index:05d}.png" for index in range(len(bases))]
    drawn["kind"] = json.loads((folder / "kinds.json").read_text(encoding="utf-8"))
    drawn["image_path"] = [str(folder / "images" / name) for name in names]
    drawn["mask_path"] = [str(folder / "masks" / name) for name in names]
    drawn["label_index"] = 1
    return drawn


def parameters_of(images: Sequence[Path], seed: int) -> dict[str, Any]:
    """What decides the defects drawn on these images."""
    facts = inspect_files(images)
    contents = [facts[str(path)].sha256 for path in images]
    return {"generator": GENERATOR_VERSION, "seed": seed, "images": contents}


def drawn_defects(
    bases: Sequence[Path], *, seed: int, inside: np.ndarray | None = None
) -> Iterator[tuple[Path, Defect]]:
    """Draw one defect on each base, its patches from the next base, and none outside of `inside`, (H, W) bool."""
    for index, base in enumerate(progress_bar(bases, title="drawing defects", unit="image")):
        source = read_image(bases[(index + 1) % len(bases)])
        rng = np.random.default_rng([seed, index])
        yield (
            base,
            draw_defect(read_image(base), source, rng) if inside is None else _draw_inside(base, source, rng, inside),
        )


def _draw_inside(base: Path, source: np.ndarray, rng: np.random.Generator, inside: np.ndarray) -> Defect:
    """A defect cut at the border of a region, the first that has some pixels in it.

    Raises:
        ValueError: None has.
    """
    image = read_image(base)
    for _ in range(ATTEMPTS):
        drawn = draw_defect(image, source, rng)
        mask = drawn.mask & inside
        if mask.sum() >= MIN_AREA:
            return Defect(np.where(mask[..., None], drawn.image, image), mask, drawn.kind)
    msg = f"{base}: no defect could be drawn inside of the region of interest; enlarge the region"
    raise ValueError(msg)


def _write_numbered(folder: Path, bases: Sequence[Path], *, seed: int, inside: np.ndarray | None) -> None:
    """Write images/<number>.png, masks/<number>.png and kinds.json."""
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    kinds = []
    for index, (_, defect) in enumerate(drawn_defects(bases, seed=seed, inside=inside)):
        save_png(folder / "images" / f"{index:05d}.png", defect.image)
        Image.fromarray(defect.mask.astype(np.uint8) * 255).save(folder / "masks" / f"{index:05d}.png")
        kinds.append(defect.kind)
    (folder / "kinds.json").write_text(json.dumps(kinds), encoding="utf-8")


def save_png(path: Path, image: np.ndarray) -> None:
    """Write (H, W, 3) uint8, as grey when the channels are equal."""
    is_grey = (image == image[..., :1]).all()
    Image.fromarray(image[..., 0] if is_grey else image).save(path)
