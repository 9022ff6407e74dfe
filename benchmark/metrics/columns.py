"""How a column of the frames is shown: heading, explanation, number format, width. For every output alike."""

from __future__ import annotations

import textwrap
from dataclasses import replace

import pandas as pd

from benchmark.metrics.column import Column
from benchmark.metrics.decision_columns import DECISION_COLUMNS
from benchmark.metrics.metric_table import HEADLINE, METRICS
from extensions.data.joint_training import ONE_EACH

NOT_ALIKE = ("alone",)
"""Values of such a column that compare with nothing, not even with themselves."""
AT = " | "
"""In the name of a column, between what is shown and where it was measured: `image_AUROC | Padim on mtd`."""


_ALIKE = {"latency_ms": "latency_session", "latency_p95_ms": "latency_session", "fit_seconds": "fit_machine"}


def compares(entry: Column, block: pd.DataFrame) -> bool:
    """Whether the values of a column compare among these rows, so that colors may say which is better."""
    if not entry.alike or entry.alike not in block.columns:
        return True
    there = block[block[entry.name].notna()]
    keys = there[entry.alike]
    is_quiet = entry.alike != "latency_session" or bool(there["latency_note"].isna().all())
    return is_quiet and keys.nunique(dropna=False) <= 1 and not keys.isna().any() and not keys.isin(NOT_ALIKE).any()


def _metric_columns() -> list[Column]:
    arrows = {True: " ↑", False: " ↓", None: ""}
    found = []
    for m in METRICS:
        unit = f" ({m.unit})" if m.unit and m.unit != "bytes" else ""
        found.append(
            Column(
                name=m.name,
                heading=f"{m.label}{unit}{arrows[m.higher_is_better]}",
                note=m.meaning,
                format=m.format,
                higher_is_better=m.higher_is_better,
                optional=m.optional,
                alike=_ALIKE.get(m.name, ""),
            )
        )
        if m.name in HEADLINE:
            note = f"Sample standard deviation of {m.label} over seeds; blank for one seed."
            found.append(Column(name=f"{m.name}_std", heading="±", note=note, format="0.000", width=7, optional=True))
    return found


def _probe_columns(level: str, word: str) -> list[Column]:
    """Of a linear probe at one layer."""
    shares = {
        "top1": (
            "top-1",
            "Share of test images whose class a linear classifier on the frozen, pooled features names.",
        ),
        "top5": ("top-5", "Share of test images whose class is among the five that a linear classifier names first."),
        "knn_top1": ("kNN", "Share of test images whose class their nearest neighbors among the features name."),
    }
    layer = Column(name=f"{level}_layer", heading=f"{word} layer", width=11, note="Layer whose pooled features it saw.")
    found = [layer]
    for name, (label, note) in shares.items():
        found.append(Column(name=f"{level}_{name}", heading=f"{word} {label} ↑", note=f"{note} Higher is better.",
                            format="0.000", higher_is_better=True))  # fmt: skip
    note = "Standard error of the share, from the number of test images."
    return [*found, Column(name=f"{level}_top1_se", heading="±", note=note, format="0.000", width=7)]


_LEVELS = (("probe", "Probe"), ("deepest", "Deepest probe"))
_GAINS = {"image_AUROC": "Image AUROC", "pixel_AUROC": "Pixel AUROC", "pixel_AUPRO": "Pixel AUPRO"}
_CHANGED = {name: _GAINS[name] for name in ("image_AUROC", "pixel_AUROC")}
_TEXTS = (
    Column(name="rank", heading="Rank", format="0", width=6,
           note="Place within the data set by image AUROC. Blank where a run is missing, failed or had not converged."),
    Column(name="model", heading="Model", width=13),
    Column(name="backbone", heading="Backbone", width=22, note="The network that turns images into features."),
    Column(name="settings", heading="Settings", width=30),
    Column(name="dataset", heading="Data set", width=26,
           note="One marked synthetic has drawn defects: its numbers do not tell how real defects are found."),
    Column(name="category", heading="Category", width=12),
    Column(name="status", heading="Runs", width=28, note="How many of the runs asked for finished, and why not all."),
    Column(name="layers", heading="Layers", width=22, note="Layers of the backbone whose features are used."),
    Column(name="image_size", heading="Image size (px)", width=10, note="Height x width that the network saw."),
    Column(name="epochs", heading="Epochs", format="0.#", width=8, note="Passes over the training images."),
    Column(name="stopped_by", heading="Stopped by", width=14, note="What ended the training."),
    Column(name="reused", heading="Fit without", width=18, optional=True,
           note="What earlier runs had worked out and Fit time lacks, for it is not known how long that took; "
           "blank where it includes everything."),
    Column(name="fit_machine", heading="Fitted on", width=30, optional=True,
           note="Fit times compare on one machine with as many threads; blank where a fit time leaves something out."),
    Column(name="latency_session", heading="Latency session", width=26, optional=True,
           note="Latencies of one session were measured in turns and compare, others do not. alone: in its run."),
    Column(name="latency_note", heading="Latency note", width=40, optional=True,
           note="What the machine did beside; blank for a quiet one."),
    Column(name="pareto", heading="Pareto front", width=8,
           note="yes: no other row of the data set has a higher image AUROC at the same latency or less, nor the same "
           "at less. Blank where one of the two is missing, or a run is or had not converged. Latencies of several "
           "sessions do not quite compare."),
    Column(name="n_seeds", heading="Seeds", format="0", width=7, note="Seeds that finished in every category."),
    Column(name="n_categories", heading="Categories", format="0", width=10, note="Categories with a finished run."),
    Column(name="k_shot", heading="k-shot", format="0", width=7, optional=True,
           note="Number of training images, where it was limited."),
    Column(name="training", heading="Training", width=11, optional=True, usual=ONE_EACH,
           note="one_for_all: one model was trained on all categories together; one_each: each has its own. Fit time "
           "and model size of one_for_all are those of the one model, not a share of it."),
    Column(name="contamination_ratio", heading="Contamination", format="0.0%", width=13, optional=True,
           note="Share of anomalous images put among the training images."),
    Column(name="known_defects", heading="Known defects", format="0", width=13, optional=True,
           note="Defects that were trained on as such, with their masks; they are not tested."),
    Column(name="repeats", heading="Repeats", format="0", width=8,
           note="How often each injected defect was put among the training images, a little shifted."),
    Column(name="detector", heading="Detector", width=22,
           note="What was trained; of a refinement, on the images that were kept."),
    Column(name="strategy", heading="Strategy", width=18, note="What scored the training images."),
    Column(name="rule", heading="Rule", width=18, note="What removed images by the scores."),
    Column(name="score_auroc", heading="Score AUROC ↑", format="0.000", higher_is_better=True,
           note="Chance that an injected defect scores higher than a good image. 1 finds all first, 0.5 is guessing, "
           "below 0.5 removes good images first."),
    Column(name="score_auroc_std", heading="±", format="0.000", width=7, optional=True,
           note="Sample standard deviation of the score AUROC over seeds."),
    Column(name="beats_random", heading="Beats random", width=10,
           note="yes, no: by more than twice the standard error of the difference, paired by seed; else even."),
    Column(name="round", heading="Round", format="0", width=7, note="0 trains on all images."),
    Column(name="n_train", heading="Training images", format="0", width=10, note="In the round."),
    Column(name="n_removed", heading="Removed", format="0.#", width=10, note="In this round and before."),
    Column(name="n_injected_removed", heading="Injected removed", format="0", width=10, note="Of those, the injected."),
    Column(name="precision", heading="Precision", format="0.000", higher_is_better=True,
           note="Share of the removed images that had been injected."),
    Column(name="recall", heading="Recall", format="0.000", higher_is_better=True,
           note="Share of the injected images that were removed."),
    *(Column(name=f"{name}_gain", heading=f"{label} gain", format="+0.000;-0.000;0.000", higher_is_better=True,
             note="Last round less the first, which trained on all images; mean over seeds.")
      for name, label in _GAINS.items()),
    *(Column(name=f"{name}_gain_se", heading="±", format="0.000", width=7,
             note="Standard error of the gain's mean over seeds.") for name in _GAINS),
    *(Column(name=f"{name}_recovered", heading="Of the oracle's", format="0%", width=10,
             note="The gain as a part of what removing exactly the injected ones gains, where that exceeds twice its "
             "standard error.") for name in _GAINS),
    Column(name="augmentation", heading="Augmentation", width=22,
           note="Of images at the size that the detector sees; identity: none. Of two, the first is that of "
           "training, the second that of test images."),
    Column(name="where", heading="Where", width=11,
           note="train: training images, anew in each epoch. test: each test image once. both: these two. tta: "
           "several views of a test image, scores and maps merged."),
    Column(name="n_views", heading="Views", format="0", width=7, optional=True,
           note="Of a test image, the first of them the image as it is."),
    Column(name="merge", heading="Merged by", width=10, note="How scores and maps of the views become one."),
    *(entry for name, label in _CHANGED.items() for entry in (
        Column(name=f"{name}_change", heading=f"{label} change", format="+0.0000;-0.0000;0.0000", width=13,
               note="From the same detector without augmentation, paired by seed; mean over seeds."),
        Column(name=f"{name}_change_std", heading="±", format="0.0000", width=8,
               note="The spread: sample standard deviation of the paired changes over seeds; blank for one seed. Test "
               "images are the same for all seeds, so how the result depends on them is no part of it."),
        Column(name=f"{name}_beyond", heading="Beyond the spread", width=11,
               note="better, worse: the mean change exceeds the spread. With three seeds chance alone does so about "
               "once in four or five times: a reason to look again, no proof. Blank for one seed."))),
    Column(name="weights", heading="Weights", width=22, note="What the backbone was trained on; random: on nothing."),
    Column(name="pre_processing", heading="Pre-processing (px)", width=26,
           note="Of what detectors see (a crop leaves out edges, with any defects there, so that pixel AUROCs of other "
           "pre-processing do not quite compare); a probe has its own and is the same in every row of a backbone."),
    *(entry for level in _LEVELS for entry in _probe_columns(*level)),
    Column(name="image_AUROC_by_kind", heading="Image AUROC by kind", width=40, optional=True,
           note="Of each kind of defect against all normal images; mean over seeds. 1 is perfect, 0.5 guessing."),
    Column(name="threshold_label_free", heading="Label-free threshold", format="0.0000", optional=True,
           note="On raw scores, from the training images alone."),
    Column(name="threshold_source", heading="Threshold from", width=24, note="What the kept threshold was fitted on."),
    Column(name="checkpoint", heading="Checkpoint", width=24, note="Trained model, relative to the output folder."),
    Column(name="weights_sha256", heading="Weights sha256", width=16, note="Content of the backbone weights."),
    Column(name="run_keys", heading="Run keys", width=18, note="Names of the records behind this row."),
    Column(name="seed", heading="Seed", format="0", width=6),
    Column(name="state", heading="What happened", width=16),
    Column(name="error", heading="Error", width=18),
    Column(name="message", heading="Message", width=80),
    Column(name="started", heading="Started", width=25),
    Column(name="folder", heading="Folder", width=40, note="Relative to the output folder; holds the whole record."),
    Column(name="in_table", heading="In the table", width=14, note="Whether the leaderboard uses this record."),
    Column(name="seconds", heading="Run time (s)", format="#,##0.0", note="The whole run, preparation included."),
    Column(name="threshold_image", heading="Image threshold", format="0.0000", note="On raw scores."),
    Column(name="threshold_pixel", heading="Pixel threshold", format="0.0000", note="On raw map values."),
)  # fmt: skip
_BY_NAME = {entry.name: entry for entry in (*_TEXTS, *DECISION_COLUMNS, *_metric_columns())}

_RESULTS = (
    *(name for headline in HEADLINE for name in (headline, f"{headline}_std")),
    "status", "latency_ms", "pareto", "fit_seconds", "reused", "model_bytes", "peak_memory_bytes",
    "pixel_AUPRO", "image_F1Max", "image_F1Floor", "pixel_F1Max", "pixel_F1Floor",
    "image_AveragePrecision", "pixel_AveragePrecision", "latency_p95_ms", "latency_min_ms", "latency_max_ms",
    "latency_session", "latency_note", "fit_reused_seconds", "fit_machine",
    "image_size", "layers", "epochs", "stopped_by", "n_seeds",
)  # fmt: skip
_DECISIONS = ("label_free_Accuracy", "label_free_Precision", "label_free_Recall", "label_free_F1Score")
_ORIGIN = ("training", "k_shot", "contamination_ratio", "known_defects", "threshold_source", "checkpoint", "run_keys",
           "weights_sha256", "pixel_binning_error")  # fmt: skip
_PLACED = (*_ORIGIN, *_DECISIONS)
_REST = (*_PLACED, *(m.name for m in METRICS if m.name not in {*_RESULTS, *_PLACED}))  # those without a place last

LEADERBOARD = (
    "rank_range", "model", "backbone", "settings", "dataset", "image_AUROC", "image_AUROC_interval", "image_F1Score",
    "missed_told", "false_alarms_told", "unsure", "cost_per_1000", "pixel_AUROC", "pixel_F1Score", "part_AUROC",
    "part_AUROC_interval", "part_missed_told", "part_false_alarms_told", "latency_ms", "pareto",
    "model_bytes", "status", "caution",
)  # fmt: skip
"""What decides; the rest is in Runs, By category and the CSV."""
BY_CATEGORY = (
    "model", "backbone", "settings", "dataset", "category", *_RESULTS, "image_AUROC_interval",
    "image_F1Score_interval", "pixel_AUROC_interval", "pixel_F1Score_interval", "missed_told", "false_alarms_told",
    "part_AUROC", "part_AUROC_interval", "part_missed_told", "part_false_alarms_told",
    "unsure", "cost_per_1000", "requirement", "caution", *_REST, "image_AUROC_by_kind",
)  # fmt: skip
FAILURES = ("dataset", "category", "model", "backbone", "settings", "seed", "state", "error", "message", "started",
            "folder")  # fmt: skip


def column(name: str) -> Column:
    """How to show the column of this name; a plain one for a name without an entry."""
    shown, _, where = name.partition(AT)
    entry = _BY_NAME.get(shown) or Column(name=name, heading=shown.replace("_", " ").capitalize(), width=14)
    if not where:
        return entry
    if entry.heading == "±":
        return replace(entry, name=name, note=f"{where}: {entry.note}")
    longest = max(map(len, where.split()), default=0)
    note = f"{entry.note} Blank where it was not run or has no rank."
    width = max(entry.width + 4, min(longest, 28) + 2)
    return replace(entry, name=name, heading=f"{where}\n{entry.heading}", note=note, width=width)


def heading_lines(name: str) -> int:
    """How many lines the heading needs, two where it does not say where its values were measured."""
    entry = column(name)
    if AT not in name:
        return 2
    return max(2, sum(len(textwrap.wrap(part, width=entry.width)) for part in entry.heading.split("\n")))


def is_shown(name: str, values: pd.Series) -> bool:
    """Whether a column has anything to show; only optional ones may vanish."""
    entry = column(name)
    return not entry.optional or bool((values.notna() & (values != 0) & (values != entry.usual)).any())


def shown_dataset(name: str, *, synthetic: bool) -> str:
    """The data set's name, marked when its defects are drawn."""
    return f"{name} (synthetic)" if synthetic else name
