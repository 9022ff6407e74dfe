"""suspects.html: the suspicious images beside their heat maps, with keep and drop, as one page."""

import base64
import hashlib
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from extensions.data.reading.image_files import read_image
from extensions.refinement.review.suspect_lines import COLUMNS, Suspect, written
from extensions.runtime.heat_map import heat_colors, heat_levels
from extensions.runtime.progress import progress_bar

TEMPLATES = Path(__file__).parent / "templates"
N_KEPT = 24  # images that were kept and are shown, at least
SIDE = 320  # px of a square thumb; others have its area
LONGEST = 640  # px
HEAT_SIDE = 160  # px of the longer side of a heat map, which is smooth
JPEG_QUALITY = 85
OPACITY = 0.7  # of the hottest color over the image
COLD, HOT = 0.5, 0.999  # quantiles of all heat on the page that are drawn as coldest and as hottest


@dataclass(frozen=True)
class Thumb:
    """An image as the page holds it, and the px it is shown at."""

    source: str
    width: int
    height: int


@dataclass(frozen=True)
class Card:
    """What the page shows of one suspect.

    Attributes:
        index: Its place among all training images, 0 the most suspicious.
        name: As in the table.
        problem: Why there is no thumb; empty when there is one.
        heat: The colored heat map as a data URI; empty when there is none.
    """

    index: int
    name: str
    suspect: Suspect
    thumb: Thumb | None
    problem: str
    heat: str

    @property
    def score(self) -> str:
        """The score to four digits."""
        return "" if math.isnan(self.suspect.score) else f"{self.suspect.score:.4g}"


def suspect_page(
    suspects: Sequence[Suspect],
    *,
    image: Callable[[str], Path],
    heat: Callable[[str], np.ndarray | None],
    title: str,
    facts: Mapping[str, str],
    n_shown: int,
) -> str:
    """The whole page; the arguments are those of `extensions.refinement.review.suspects.write_suspects`."""
    shown = _shown(suspects, n_shown)
    heats = {i: _small(heat(suspects[i].image), suspects[i].image) for i in shown}
    scale = _scale([found for found in heats.values() if found is not None])
    cards = []
    for i in progress_bar(shown, title="drawing suspects", unit="image"):
        thumb, problem = _thumb(image, suspects[i].image)
        found = heats[i] if thumb else None
        colors = "" if found is None else _data_uri(_colored(found, scale))
        cards.append(Card(i, written(suspects[i].image), suspects[i], thumb, problem, colors))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template("suspects.html").render(
        title=title,
        facts=facts,
        cards=cards,
        n_images=len(suspects),
        n_removed=sum(suspect.removed_in_round is not None for suspect in suspects),
        scale=[f"{value:.3g}" for value in scale],
        colors=_data_uri(_colored(np.linspace(0, 1, 256, dtype=np.float32)[None].repeat(8, axis=0), (0.0, 1.0))),
        data=_data(suspects),
        style=(TEMPLATES / "suspects.css").read_text(encoding="utf-8"),
        script=(TEMPLATES / "suspects.js").read_text(encoding="utf-8"),
    )


def _shown(suspects: Sequence[Suspect], n_shown: int) -> list[int]:
    """Places of all that were removed, of the most suspicious ones that were kept, and of those with an answer."""
    removed = [i for i, suspect in enumerate(suspects) if suspect.removed_in_round is not None]
    kept = [i for i, suspect in enumerate(suspects) if suspect.removed_in_round is None]
    n_kept = max(N_KEPT, n_shown - len(removed))
    return removed + kept[:n_kept] + [i for i in kept[n_kept:] if suspects[i].keep is not None]


def _data(suspects: Sequence[Suspect]) -> str:
    """What the script needs to save the table, as JSON that no name can end early."""
    content: dict[str, Any] = {
        "header": ",".join(COLUMNS),
        "lines": [suspect.facts for suspect in suspects],
        "removed": [suspect.removed_in_round is not None for suspect in suspects],
        "answers": [suspect.answer for suspect in suspects],
    }
    content["key"] = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
    return json.dumps(content, ensure_ascii=True).replace("<", "\\u003c")


def _thumb(path_of: Callable[[str], Path], image: str) -> tuple[Thumb | None, str]:
    """The thumb, or why there is none: a file may have gone since the scores were made."""
    try:
        pixels = read_image(path_of(image))
    except (ValueError, OSError) as error:
        return None, "no such file" if isinstance(error, FileNotFoundError) else str(error.__cause__ or error)
    height, width = pixels.shape[:2]
    scale = min(SIDE / math.sqrt(height * width), LONGEST / max(height, width))
    shown = max(1, round(width * scale)), max(1, round(height * scale))
    small = _resized(pixels, shown) if scale < 1 else pixels
    return Thumb(_data_uri(Image.fromarray(small)), *shown), ""


def _small(heat: np.ndarray | None, image: str) -> np.ndarray | None:
    """A heat map no larger than it is stored; what is not finite is as cold as the coldest."""
    if heat is None:
        return None
    if heat.ndim != 2 or not heat.size:
        msg = f"the heat map of {image} has the shape {heat.shape}; expected (h, w)"
        raise ValueError(msg)
    finite = np.isfinite(heat)
    values = np.where(finite, heat, heat[finite].min() if finite.any() else 0).astype(np.float32)
    scale = HEAT_SIDE / max(values.shape)
    if scale >= 1:
        return values
    return _resized(values, (max(1, round(values.shape[1] * scale)), max(1, round(values.shape[0] * scale))))


def _scale(heats: Sequence[np.ndarray]) -> tuple[float, float]:
    """The values drawn as coldest and as hottest, the same for every image of the page."""
    if not heats:
        return 0.0, 1.0
    low, high = np.quantile(np.concatenate([heat.ravel() for heat in heats]), (COLD, HOT))
    return float(low), float(high)


def _colored(heat: np.ndarray, scale: tuple[float, float]) -> Image.Image:
    """(h, w) heat as an image to lay over another: blue to red, the colder the more transparent."""
    image = Image.fromarray(heat_levels(heat, scale)).convert("P")
    image.putpalette(heat_colors().tobytes())
    image.info["transparency"] = (np.arange(256) * OPACITY).astype(np.uint8).tobytes()
    return image


def _resized(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import cv2

    return cv2.resize(array, size, interpolation=cv2.INTER_AREA)


def _data_uri(image: Image.Image) -> str:
    """A photograph as JPEG, colors of a palette as PNG, which keeps how transparent they are."""
    kind = "png" if image.mode == "P" else "jpeg"
    content = io.BytesIO()
    image.save(content, kind, quality=JPEG_QUALITY, optimize=True)
    return f"data:image/{kind};base64," + base64.b64encode(content.getvalue()).decode("ascii")
