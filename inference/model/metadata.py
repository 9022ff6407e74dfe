"""What an exported network's numbers mean: `model.json` beside it, and the same text inside the IR."""

from __future__ import annotations

import json
from dataclasses import asdict, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.dataclasses import dataclass

from extensions.data.alignment.alignment import Alignment
from extensions.data.channels import Channels
from extensions.data.imaging import Imaging
from extensions.data.regions.region import Region, mask_of
from extensions.data.score_pooling import ScorePooling
from extensions.data.tiling.settings import Tiling
from extensions.data.value_range import ValueRange
from inference.model.verdicts import Verdict, verdict

FORMAT = 1
RUNTIME_KEY = "anomaly_workbench"
Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def _ordered(span: tuple[float, ...]) -> tuple[float, ...]:
    """Least values in the first half, largest in the second."""
    half = len(span) // 2
    if any(low > high for low, high in zip(span[:half], span[half:], strict=True)):
        msg = "the largest value is below the least"
        raise ValueError(msg)
    return span


Range = Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_ordered)]
Part = Annotated[float, Field(ge=0, le=1)]
SeenPart = Annotated[tuple[Part, Part, Part, Part], AfterValidator(_ordered)]


@dataclass(frozen=True)
class Scale:
    """Thresholds and ranges of raw scores and maps, see `ModelInfo`."""

    threshold: FiniteFloat | None
    threshold_source: str | None
    pixel_threshold: FiniteFloat | None
    score_range: Range | None
    map_range: Range | None
    upper_threshold: FiniteFloat | None = None


@dataclass(frozen=True)
class Parts:
    """How parts of several images are judged.

    Attributes:
        score: What a part scores, see `extensions.data.part_score`.
        group: How the name of an image names its part, see `extensions.data.groups`; None where a table did.
        threshold: As that of images, on what parts score; None where there is none.
        upper_threshold: Likewise.
        promise: One sentence: what the thresholds keep on new parts; None when unknown.
    """

    score: str = "max"
    group: str | None = None
    threshold: FiniteFloat | None = None
    upper_threshold: FiniteFloat | None = None
    promise: str | None = None

    def verdict(self, score: float) -> Verdict | None:
        """What a part's raw score means; None without a threshold."""
        return verdict(score, self.threshold, self.upper_threshold)


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


@dataclass(frozen=True, config=ConfigDict(extra="ignore"))
class ModelInfo:
    """Facts of a model on the line. Scores and thresholds are raw, higher is more anomalous.

    Attributes:
        model: Class name, such as `Padim`.
        image_size: Height and width in px of what the network sees, and of its maps.
        region: Top, left, bottom and right of what the network sees, as parts of an image's height and width.
        class_path: Where the class can be imported from; None where the model did not come from a checkpoint.
        precision: `fp32`, `fp16` or `int8`, of the IR; the ONNX file is always fp32.
        threshold: An image is anomalous when `pred_score >= threshold`; None when the model has none.
        upper_threshold: With three verdicts: an image is defective from here on, and unsure from `threshold` on; None
            with one threshold.
        threshold_source: How it was found.
        requirement: What the thresholds keep, as a configuration of the benchmark has it; None where nothing was
            required.
        promise: One sentence: what they keep on new images, from how many, and what they cannot promise; None when
            unknown.
        unsure: Share of unsure images among those that the thresholds were fitted on; None with one threshold.
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
        parts: How parts of several images are judged; None where the data set named none.
        tiling: The network takes tiles of this size, and `image_size` and `region` are of a tile: images are cut, and
            maps stitched, by who calls it; None for a network of whole images.
        region_of_interest: What is looked at of each image: `size` in px (height, width) and `runs`, see
            `extensions.data.regions.region.runs_of`. A network of whole images fills what lies outside itself, and
            takes images of this size only; tiles come filled. None: all of the image, or what the network finds.
        range: The values that become 0 and 1 in the network, as the files hold them, for all channels or for each; the
            network takes images of these values (uint16 or float32). None: it takes uint8.
        channels: How many channels an image has, and how the names of its files end; None for RGB.
        alignment: `template` (PNG in base 64) and `least`: the network takes images that lie on this template. They are
            turned and shifted, and its maps turned back, by who calls it; None for images as they are taken.
        score_pooling: How the network takes its score from its map, and who stitches tiles an image's from the whole
            map; None where it has a way of its own, and where an image scores what its highest tile scores.
    """

    model: str
    image_size: tuple[PositiveInt, PositiveInt]
    region: SeenPart = (0.0, 0.0, 1.0, 1.0)
    class_path: str | None = None
    precision: Precision = "fp32"
    threshold: FiniteFloat | None = None
    upper_threshold: FiniteFloat | None = None
    threshold_source: str | None = None
    requirement: dict[str, Any] | None = None
    promise: str | None = None
    unsure: Part | None = None
    pixel_threshold: FiniteFloat | None = None
    score_range: Range | None = None
    map_range: Range | None = None
    backbone: dict[str, Any] | None = None
    dataset: dict[str, Any] | None = None
    run_key: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    refitted: Refitted | None = None
    agreement: dict[str, Any] | None = None
    parts: Parts | None = None
    tiling: Tiling | None = None
    region_of_interest: dict[str, Any] | None = None
    range: dict[str, Any] | None = None
    channels: dict[str, Any] | None = None
    alignment: dict[str, Any] | None = None
    score_pooling: str | None = None

    @field_validator("region_of_interest")
    @classmethod
    def _is_region(cls, stored: dict[str, Any] | None) -> dict[str, Any] | None:
        if stored is not None:
            mask_of(stored["runs"], tuple(stored["size"]))
        return stored

    @field_validator("range")
    @classmethod
    def _is_range(cls, stored: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if stored is None else ValueRange.of(stored).stored()

    @field_validator("channels")
    @classmethod
    def _are_channels(cls, stored: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if stored is None else Channels.of(stored).stored()

    @field_validator("alignment")
    @classmethod
    def _is_alignment(cls, packed: dict[str, Any] | None) -> dict[str, Any] | None:
        if packed is not None:
            Alignment.unpacked(packed)
        return packed

    @field_validator("score_pooling")
    @classmethod
    def _is_pooling(cls, name: str | None) -> str | None:
        return None if name is None else ScorePooling.named(name).name

    @cached_property
    def pooling(self) -> ScorePooling | None:
        """How scores are taken from maps."""
        return None if self.score_pooling is None else ScorePooling.named(self.score_pooling)

    @cached_property
    def imaging(self) -> Imaging:
        """How image files are read for the network."""
        stored = {name: part for name in ("range", "channels") if (part := getattr(self, name)) is not None}
        region = None
        if self.region_of_interest is not None:
            found = self.region_of_interest
            region = Region(mask_of(found["runs"], tuple(found["size"])))
        alignment = None if self.alignment is None else Alignment.unpacked(self.alignment)
        return replace(Imaging.of(stored), tiling=self.tiling, region=region, alignment=alignment)

    @property
    def input_dtype(self) -> str:
        """NumPy's name of the numbers that the network takes: `uint8`, `uint16` or `float32`."""
        value_range = self.imaging.range
        return "uint8" if value_range is None else value_range.dtype

    @field_validator("upper_threshold")
    @classmethod
    def _is_upper(cls, upper: float | None, known: ValidationInfo) -> float | None:
        lower = known.data.get("threshold")
        if upper is not None and (lower is None or upper < lower):
            msg = f"below threshold, which is {lower}" if lower is not None else "and there is no threshold"
            raise ValueError(msg)
        return upper

    @property
    def trained_threshold(self) -> float | None:
        """The threshold of the trained model's own scores."""
        return self.refitted.trained.threshold if self.refitted else self.threshold

    @property
    def trained_upper_threshold(self) -> float | None:
        """The upper threshold of the trained model's own scores."""
        return self.refitted.trained.upper_threshold if self.refitted else self.upper_threshold

    def verdict(self, score: float) -> Verdict | None:
        """What a raw score means; None without a threshold."""
        return verdict(score, self.threshold, self.upper_threshold)

    def normalized(self, score: float) -> float | None:
        """A raw score on anomalib's scale from 0 to 1 with the threshold at 0.5; None where its range is unknown."""
        if self.score_range is None:
            return None
        low, high = self.score_range
        middle = (low + high) / 2 if self.threshold is None else self.threshold
        if high == low:
            return 0.5 if score == middle else float(score > middle)
        return min(1.0, max(0.0, (score - middle) / (high - low) + 0.5))  # as anomalib's post-processor does

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
            return cls(**found)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            why = f"{type(error).__name__}: {error}"
            if isinstance(error, ValidationError):
                first = error.errors()[0]
                name = first["loc"][0]
                why = f"{name} is {str(found.get(name))[:80]}"
                why += f", {first['ctx']['error']}" if first["type"] == "value_error" else ""  # said by us
            msg = (
                f"{where}: this is no description of a model of format {FORMAT} ({why}); "
                "expected what `python -m inference export` writes: export the model again"
            )
            raise ValueError(msg) from error


def info_path(model: Path) -> Path:
    """Where the description of a model file lies."""
    return model.with_suffix(".json")
