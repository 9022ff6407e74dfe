"""The one table of metrics: what each is called, means, which direction is better, its unit and how a cell shows it."""

from __future__ import annotations

from dataclasses import dataclass

RATIO = "0.000"
BYTES = '[>=1000000000]0.00,,," GB";[>=1000000]0.0,," MB";0.0," kB"'


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One measured quantity.

    Args:
        name: Column name in records and tables.
        label: Heading a reader sees.
        meaning: One or two sentences, with the direction.
        higher_is_better: None where neither direction is better.
        unit: Empty for ratios.
        format: Excel number format of a cell.
        optional: Left out of sight where no row has it.
    """

    name: str
    label: str
    meaning: str
    higher_is_better: bool | None
    unit: str = ""
    format: str = RATIO
    optional: bool = False


def _quality(level: str) -> list[Metric]:
    """The metrics that exist for images and for pixels alike."""
    noun, title = {"image": ("image", "Image"), "pixel": ("pixel", "Pixel")}[level]
    texts = {
        "AUROC": (
            "AUROC",
            f"Chance that an anomalous {noun} scores higher than a normal one. "
            "1 is perfect, 0.5 is guessing; higher is better. Needs no threshold.",
        ),
        "AveragePrecision": (
            "average precision",
            f"Precision averaged over all anomalous {noun}s from the highest score down. "
            f"1 is perfect, guessing gives the share of anomalous {noun}s; higher is better.",
        ),
        "F1Score": (
            "F1",
            f"F1 of calling {noun}s anomalous at a threshold fitted on the other half of the test images "
            "(two-fold cross-fit, counts pooled): what a fitted threshold gives on images it has not seen. "
            "1 is perfect; higher is better; compare it with the F1 floor.",
        ),
        "F1Max": (
            "F1 max",
            f"F1 at the best threshold for these very {noun}s: an optimistic limit, comparable with published numbers. "
            "1 is perfect; higher is better.",
        ),
        "F1Floor": (
            "F1 floor",
            f"F1 of calling every {noun} anomalous. It depends on the test set alone; a useful detector is above it.",
        ),
    }
    return [
        Metric(
            name=f"{level}_{name}",
            label=f"{title} {label}",
            meaning=meaning,
            higher_is_better=None if name == "F1Floor" else True,
        )
        for name, (label, meaning) in texts.items()
    ]


def _decisions() -> list[Metric]:
    """The metrics of a threshold that a model finds without labels."""
    texts = {
        "Accuracy": ("accuracy", "Share of images that are called what they are"),
        "Precision": ("precision", "Share of the images called anomalous that are; blank where none is called so"),
        "Recall": ("recall", "Share of the anomalous images that are called so"),
        "F1Score": ("F1", "F1 of calling images anomalous"),
    }
    where = (
        "at a threshold that the model takes from its training images alone (an autoencoder: the 80 % quantile of "
        "their scores; a one-class SVM: the sign of its decision function). 1 is perfect; higher is better."
    )
    return [
        Metric(
            name=f"label_free_{name}",
            label=f"Label-free {label}",
            meaning=f"{meaning}, {where}",
            higher_is_better=True,
            optional=True,
        )
        for name, (label, meaning) in texts.items()
    ]


def _operating_points() -> list[Metric]:
    """Points of the ROC curve of the test images."""
    read_off = (
        "Read off the ROC curve of the whole test set, so the threshold has seen the images that it is judged on: "
        "optimistic, as F1 max is. A share from 0 to 1;"
    )
    recalls = [
        Metric(
            name=f"image_recall_at_FPR{share}",
            label=f"Recall at {share} % false alarms",
            meaning=f"Largest share of the anomalous images that a threshold finds which calls at most {share} % of "
            f"the normal ones anomalous. {read_off} higher is better.",
            higher_is_better=True,
            optional=True,
        )
        for share in (1, 5)
    ]
    rates = [
        Metric(
            name=f"image_FPR_at_recall{share}",
            label=f"False alarms at {share} % recall",
            meaning=f"Smallest share of the normal images called anomalous at a threshold that finds {told} anomalous "
            f"images. {read_off} lower is better.",
            higher_is_better=False,
            optional=True,
        )
        for share, told in ((95, "at least 95 % of the"), (100, "all"))
    ]
    return [*recalls, *rates]


METRICS: tuple[Metric, ...] = (
    *_quality("image"),
    *_operating_points(),
    *_quality("pixel"),
    Metric(
        name="pixel_AUPRO",
        label="Pixel AUPRO",
        meaning="Overlap with each defect region, averaged over regions so that small defects count as much as large "
        "ones, over false positive rates from 0 to 0.3. 1 is perfect, 0.15 is guessing; higher is better.",
        higher_is_better=True,
    ),
    Metric(
        name="pixel_AUPRO_005",
        label="Pixel AUPRO at 0.05",
        meaning="Pixel AUPRO over false positive rates from 0 to 0.05, as on MVTec AD 2: what a stricter use sees. "
        "1 is perfect, 0.025 is guessing; higher is better.",
        higher_is_better=True,
        optional=True,
    ),
    Metric(
        name="pixel_AUPIMO",
        label="Pixel AUPIMO",
        meaning="Share of an image's anomalous pixels found, averaged over anomalous images, where 1 to 10 of 100,000 "
        "pixels of the normal images are called anomalous. 1 is perfect, guessing gives almost 0; higher is better. "
        "Blank without normal images or with too few of their pixels.",
        higher_is_better=True,
        optional=True,
    ),
    Metric(
        name="pixel_F1LabelFree",
        label="Pixel F1, label-free",
        meaning="F1 of calling pixels anomalous at the 99.9 % quantile of the pixels of the normal images in the other "
        "half of the test images: no mask has a say in the threshold. 1 is perfect; higher is better.",
        higher_is_better=True,
        optional=True,
    ),
    Metric(
        name="pixel_binning_error",
        label="Pixel AUROC error bound",
        meaning="The pixel AUROC differs from the one without binning of scores by at most this. Lower is better.",
        higher_is_better=False,
        format="0.0E+00",
    ),
    Metric(
        name="fit_seconds",
        label="Fit time",
        meaning="Time to train on all training images with nothing at hand: what was taken from earlier runs counts "
        "as long as it took there. Blank where that is not known. Lower is better.",
        higher_is_better=False,
        unit="s",
        format="#,##0.0",
    ),
    Metric(
        name="fit_reused_seconds",
        label="Of it reused",
        meaning="Part of the fit time that this run did not take itself: earlier runs had decoded images, computed "
        "features or selected the memory bank.",
        higher_is_better=None,
        unit="s",
        format="#,##0.0",
        optional=True,
    ),
    Metric(
        name="latency_ms",
        label="Latency",
        meaning="Median time for one image, after warm-up, without reading the file: of all models of a sweep in "
        "turns, several times round. Lower is better.",
        higher_is_better=False,
        unit="ms",
        format="#,##0.0",
    ),
    Metric(
        name="latency_p95_ms",
        label="Latency p95",
        meaning="95 of 100 images take at most this time. Lower is better.",
        higher_is_better=False,
        unit="ms",
        format="#,##0.0",
    ),
    *(
        Metric(
            name=f"latency_{name}_ms",
            label=f"Latency {label}",
            meaning=f"The {word} of the medians of the turns: how sure the latency is.",
            higher_is_better=None,
            unit="ms",
            format="#,##0.0",
            optional=True,
        )
        for name, label, word in (("min", "from", "least"), ("max", "to", "largest"))
    ),
    Metric(
        name="peak_memory_bytes",
        label="Peak memory",
        meaning="Most memory used while training and testing. Lower is better.",
        higher_is_better=False,
        unit="bytes",
        format=BYTES,
    ),
    Metric(
        name="model_bytes",
        label="Model size",
        meaning="Size of the trained model, its memory bank included. Lower is better.",
        higher_is_better=False,
        unit="bytes",
        format=BYTES,
    ),
    *_decisions(),
)

HEADLINE: tuple[str, ...] = ("image_AUROC", "image_F1Score", "pixel_AUROC", "pixel_F1Score")
"""The four columns a reader compares first."""
