"""What an exported network's numbers mean: `model.json` beside it, and the same text inside the IR."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

FORMAT = 1
RUNTIME_KEY = "anomaly_workbench"
PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class Scale:
    """Thresholds and ranges of raw scores and maps, see `ModelInfo`."""

    threshold: float | None
    threshold_source: str | None
    pixel_threshold: float | None
    score_range: tuple[float, float] | None
    map_range: tuple[float, float] | None


@dataclass(frozen=True)
class Refitted:
    """Of a quantized network whose threshold and ranges are its own.

    Attributes:
        on: The images they were fitted on.
        pixel_threshold: Whether that was fitted, too.
        trained: What training had.
    """

    on: str
    pixel_threshold: bool
    trained: Scale


@dataclass(frozen=True)
class ModelInfo:
    """Facts of a model on the line. Scores and thresholds are raw, higher is more anomalous.

    Attributes:
        model: Class name, such as `Padim`.
        image_size: Height and width in px of what the network sees, and of its maps.
        region: Top, left, bottom and right of what the network sees, as parts of an image's height and width.
        class_path: Where the class can be imported from; None where the model did not come from a checkpoint.
        precision: `fp32`, `fp16` or `int8`, of the IR; the ONNX file is always fp32.
        threshold: An image is anomalous when `pred_score >= threshold`; None when the model has none.
        threshold_source: How it was found.
        pixel_threshold: The same for the map.
        score_range: Least and largest score that normalization maps to a range of one; None leaves scores as they are.
        map_range: The same for the map.
        backbone: timm name and, as far as known, layers and origin of the weights.
        dataset: What it was trained on, as its record has it; None when unknown.
        run_key: Of the benchmark's record; None when it has none.
        versions: Of the libraries that exported it.
        refitted: What the threshold and ranges of a quantized network were fitted on; None where they are those of
            training.
        agreement: Summary of `agreement.json`; None when it was not compared.
    """

    model: str
    image_size: tuple[int, int]
    region: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    class_path: str | None = None
    precision: str = "fp32"
    threshold: float | None = None
    threshold_source: str | None = None
    pixel_threshold: float | None = None
    score_range: tuple[float, float] | None = None
    map_range: tuple[float, float] | None = None
    backbone: dict[str, Any] | None = None
    dataset: dict[str, Any] | None = None
    run_key: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    refitted: Refitted | None = None
    agreement: dict[str, Any] | None = None

    @property
    def trained_threshold(self) -> float | None:
        """The threshold of the trained model's own scores."""
        return self.refitted.trained.threshold if self.refitted else self.threshold

    def normalized(self, score: float) -> float | None:
        """A raw score on anomalib's scale from 0 to 1 with the threshold at 0.5; None where its range is unknown."""
        return _normalized(score, self.score_range, self.threshold)

    def to_json(self) -> str:
        """The text of `model.json`."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, allow_nan=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> ModelInfo:
        """Read a file `model.json`.

        Raises:
            ValueError: It is none, or of another format; the file is named.
        """
        return cls.from_json(path.read_bytes().decode("utf-8", "replace"), path)

    @classmethod
    def from_json(cls, text: str, where: Path) -> ModelInfo:
        """What `to_json` wrote.

        Raises:
            ValueError: The text is something else; the file is named.
        """
        try:
            found = json.loads(text)
            if found["format"] != FORMAT:
                msg = f"format {found['format']}"
                raise ValueError(msg)
            known = {entry.name for entry in fields(cls)}
            values = {name: value for name, value in found.items() if name in known}
            for name in ("image_size", "region", "score_range", "map_range"):
                values[name] = None if values.get(name) is None else tuple(values[name])
            height, width = values["image_size"]
            values["image_size"] = int(height), int(width)
            _check(values)
            if refitted := values.get("refitted"):
                values["refitted"] = Refitted(**refitted | {"trained": Scale(**refitted["trained"])})
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            msg = (
                f"{where}: this is no description of a model of format {FORMAT} ({type(error).__name__}: {error}); "
                "expected what `python -m inference export` writes: export the model again"
            )
            raise ValueError(msg) from error


def _check(values: dict[str, Any]) -> None:
    """Raise ValueError for what no export writes."""
    height, width = values["image_size"]
    top, left, bottom, right = values["region"] or (0, 0, 1, 1)
    sound = {
        "model": isinstance(values["model"], str),
        "image_size": height > 0 and width > 0,
        "region": 0 <= top < bottom <= 1 and 0 <= left < right <= 1,
        "precision": values.get("precision", "fp32") in PRECISIONS,
    }
    for name in ("threshold", "pixel_threshold"):
        sound[name] = values.get(name) is None or math.isfinite(values[name])
    for name in ("score_range", "map_range"):
        low, high = values[name] or (0, 0)
        sound[name] = math.isfinite(low) and math.isfinite(high) and low <= high
    for name in ("backbone", "dataset", "versions", "refitted", "agreement"):
        sound[name] = isinstance(values.get(name), dict | None)
    if wrong := [name for name, is_sound in sound.items() if not is_sound]:
        msg = f"{wrong[0]} is {str(values[wrong[0]])[:80]}"
        raise ValueError(msg)


def _normalized(score: float, span: tuple[float, float] | None, threshold: float | None) -> float | None:
    """As anomalib's post-processor does."""
    if span is None:
        return None
    low, high = span
    middle = (low + high) / 2 if threshold is None else threshold
    if high == low:
        return 0.5 if score == middle else float(score > middle)
    return min(1.0, max(0.0, (score - middle) / (high - low) + 0.5))


def info_path(model: Path) -> Path:
    """Where the description of a model file lies."""
    return model.with_suffix(".json")
