"""The summary of a comparison between an exported network and the trained model: `agreement.json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Quantized:
    """What a quantized network's own threshold costs.

    Attributes:
        threshold: Of `fp32` and of `int8`; None without one.
        threshold_source: How that of int8 was found.
        fitted_on: The images it was fitted on.
        judged_on: Those whose labels are held against each other.
        judged_on_fitted: Whether these are the same.
        n_images: That were judged.
        n_flipped: Verdicts that differ, each network judging by its own thresholds; None without. With one threshold
            these are the labels that differ.
        upper_threshold: As `threshold`; None where each has one.
    """

    threshold: dict[str, float | None]
    threshold_source: str | None
    fitted_on: str
    judged_on: str
    judged_on_fitted: bool
    n_images: int
    n_flipped: int | None
    upper_threshold: dict[str, float | None] | None = None


@dataclass(frozen=True)
class Costs:
    """What a smaller precision costs and gains against fp32; None what was not looked at.

    Attributes:
        quantized: Of int8 with a threshold of its own.
        labelled_auroc: By precision, where images of both kinds are judged.
        images_per_second: By precision, on this machine.
    """

    quantized: Quantized | None = None
    labelled_auroc: dict[str, float | None] | None = None
    images_per_second: dict[str, float] | None = None


@dataclass(frozen=True)
class Summary:
    """How well an exported network agrees with the trained model. Differences and tolerances are parts of a range.

    Attributes:
        agrees: Whether all that is judged is accepted.
        score_range: Of the trained model's scores, and `map_range` of its maps, on these images.
        threshold: Of the trained model, and `exported_threshold` of the network; None without one.
        own_threshold: Whether the network judges by a threshold of its own.
        n_flipped_accepted: Verdicts that may differ.
        n_flipped: Verdicts that differ, but for the `n_flipped_near` within tolerance of a threshold of training. With
            one threshold these are the labels that differ.
        upper_threshold: Of the trained model, and `exported_upper_threshold` of the network; None with one threshold.
        n_unsure: Unsure images by the trained model, and `n_exported_unsure` by the network; None with one threshold.
    """

    agrees: bool
    score_tolerance: float
    map_tolerance: float
    n_images: int
    n_defects: int
    largest_score_difference: float
    mean_score_difference: float
    largest_map_difference: float
    mean_map_difference: float
    score_range: float
    map_range: float
    threshold: float | None
    exported_threshold: float | None
    own_threshold: bool
    n_flipped_accepted: int
    n_anomalous: int | None
    n_flipped: int | None
    n_flipped_near: int | None
    costs: Costs = Costs()
    upper_threshold: float | None = None
    exported_upper_threshold: float | None = None
    n_unsure: int | None = None
    n_exported_unsure: int | None = None

    @property
    def on_disk(self) -> dict[str, Any]:
        """As `agreement.json` has it: costs that were not looked at are not there."""
        told = asdict(self)
        return told | {name: value for name, value in told.pop("costs").items() if value is not None}

    def sentence(self) -> str:
        """The summary for a person."""
        start = (
            f"{self.n_images} images, {self.n_defects} of them with drawn defects: score differs by at most "
            f"{self.largest_score_difference:.2e} of the range (mean {self.mean_score_difference:.2e}), map by "
            f"{self.largest_map_difference:.2e} (mean {self.mean_map_difference:.2e})"
        )
        what = "labels" if self.n_unsure is None else "verdicts"
        if self.n_flipped is None:
            flips = "no threshold to compare labels by"
        elif self.own_threshold:
            return (
                f"{start}, {self.n_flipped} {what} flipped, each network judging by its own threshold; accepted are "
                f"{self.n_flipped_accepted} flips"
            )
        else:
            flips = f"{self.n_flipped} {what} flipped ({self.n_flipped_near} more within tolerance of the threshold)"
        return f"{start}, {flips}; accepted are {self.score_tolerance:g} and {self.map_tolerance:g}, and no flips"
