"""How the columns are shown that say how sure a number is, what a detector does on the line, and which is better."""

from __future__ import annotations

from benchmark.metrics.column import Column
from benchmark.metrics.metric_table import HEADLINE, METRICS

_LABELS = {entry.name: entry.label for entry in METRICS}
_SIGNED = "+0.000;-0.000;0.000"
_INTERVAL = (
    "95 % interval over the test images: what other images of the same kind would give. The spread over seeds is no "
    "part of it."
)
_JUDGED = "at the requirement, at thresholds that never saw the images they are judged on; of several seeds the mean"

DECISION_COLUMNS = (
    Column(name="rank_range", heading="Rank", width=7,
           note="Place within the data set by image AUROC: 1–3 where this row cannot be told from those places on the "
           "same test images. Blank where a run is missing, failed or had not converged."),
    *(Column(name=f"{name}_interval", heading="95 % interval", width=11, optional=True,
             note=f"{_LABELS[name]}: {_INTERVAL}") for name in HEADLINE),
    Column(name="missed_told", heading="Missed", width=12, optional=True,
           note=f"Defective images called good, {_JUDGED}."),
    Column(name="false_alarms_told", heading="False alarms", width=12, optional=True,
           note=f"Good images called defective, {_JUDGED}."),
    Column(name="part_AUROC", heading="Part AUROC ↑", format="0.000", width=9, optional=True, higher_is_better=True,
           note="Chance that a defective part scores higher than a good one, where a part has several images. 1 is "
           "perfect, 0.5 is guessing; higher is better."),
    Column(name="part_AUROC_interval", heading="95 % interval", width=11, optional=True,
           note="Part AUROC: 95 % interval over the test parts."),
    Column(name="part_missed_told", heading="Parts missed", width=12, optional=True,
           note=f"Parts with a defective image that are called good, {_JUDGED}, fitted on parts."),
    Column(name="part_false_alarms_told", heading="Parts rejected", width=12, optional=True,
           note=f"Parts without a defective image that are called defective, {_JUDGED}, fitted on parts."),
    Column(name="unsure", heading="Unsure ↓", format="0.0%", width=9, optional=True, higher_is_better=False,
           note="Share of the test images between the two thresholds, neither good nor defective."),
    Column(name="cost_per_1000", heading="Cost of 1,000 parts ↓", format="#,##0.0", width=12, optional=True,
           higher_is_better=False, note="Expected, by the costs and the defect rate of the requirement."),
    Column(name="requirement", heading="Requirement", width=26, optional=True,
           note="What missed and false alarms are counted at."),
    Column(name="caution", heading="Caution", width=44, optional=True,
           note="What so few test images cannot show."),
    Column(name="metric", heading="Metric", width=14),
    Column(name="first", heading="First", width=34, note="Of the two, the one that comes first in the leaderboard."),
    Column(name="second", heading="Second", width=34),
    Column(name="difference", heading="First less second", format=_SIGNED, width=10,
           note="On the same test images; above 0 the first is better."),
    Column(name="low", heading="95 % from", format=_SIGNED, width=10, note="Of the difference, over test images."),
    Column(name="high", heading="95 % to", format=_SIGNED, width=10, note="Of the difference, over test images."),
    Column(name="p", heading="p", format="0.0000", width=8,
           note="Chance of so large a difference, were there none; for this pair alone."),
    Column(name="p_adjusted", heading="Adjusted p", format="0.0000", width=9,
           note="By Holm over all pairs of the data set and metric."),
    Column(name="told_apart", heading="Told apart", width=9, note="yes: the adjusted p is below 0.05."),
    Column(name="method", heading="Method", width=17),
    Column(name="n_images", heading="Test images", format="0", width=8),
    Column(name="note", heading="Note", width=50),
)  # fmt: skip

DIFFERENCES = ("dataset", "metric", "first", "second", "difference", "low", "high", "p", "p_adjusted", "told_apart",
               "method", "n_images", "n_seeds", "note")  # fmt: skip
"""Columns of the sheet Differences."""
