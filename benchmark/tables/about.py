"""How the numbers were made: commands, machines, versions, data, protocol, and what each column means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from benchmark.metrics.metric_table import METRICS
from benchmark.records.probes import Line, probe_labels
from benchmark.records.record import PROTOCOL_VERSION, Record
from benchmark.records.sweep_plan import SweepPlan
from benchmark.statistics.many_categories import OverallRanking
from benchmark.tables.overall import overall_sentences
from benchmark.tables.times import latency_sessions, time_warnings

PROTOCOL = (
    ("Rank", "Within a data set, by mean image AUROC over categories and seeds; ties by pixel AUROC, then latency. "
     "No rank where a category or a seed is missing or a run had not converged."),
    ("Blank cell", "Could not be computed (no masks, one class only) or was not measured; never 0. A mean over "
     "categories is blank when one of them is."),
    ("Mean and ±", "A value is the mean over seeds, then over categories; ± is the sample standard deviation over "
     "seeds, blank for one seed."),
    ("Scores", "All metrics are computed from raw scores and raw anomaly maps, neither normalized nor clamped."),
    ("Test set", "AUROC, average precision, F1 max and AUPRO use the full test set, so that they compare with "
     "published numbers."),
    ("F1", "Image F1 and Pixel F1 use a threshold fitted on one half of the test images for the other half, halves "
     "stratified by label and seeded, counts pooled."),
    ("Threshold kept", "The threshold in a checkpoint is fitted on all labelled test images, or with none is a "
     "stated quantile of held-out normal images; it is never the source of a reported F1."),
    ("Training", "Early stopping sees training images only. A run counts as converged when its loss curve was flat "
     "at its end."),
    ("How sure", "A 95 % interval is over the test images: what others of the same kind would give (whole groups where "
     "images have groups); ± is over seeds. They answer different questions. AUROC by DeLong, counts by Clopper and "
     "Pearson, all others by a bootstrap of the images."),
    ("Differences", "Two detectors are compared on the same test images: AUROC by DeLong, other metrics by a paired "
     "bootstrap. p is adjusted by Holm over the pairs of a data set and metric. A rank 1–3 cannot be told from these "
     "places. With many detectors only large differences are told. At a requirement the recommended detector is "
     "compared by what it counts, such as missed defects, in a paired bootstrap that fits the thresholds anew."),
    ("Missed and false alarms", "Counted at the requirement, else at at most 5 % false alarms: each half of the test "
     "images is judged by thresholds that were fitted on the other half, or all by those of calibration images."),
    ("Latency", "From one decoded image to score and map: pre-processor, network, map; reading the file is no part of "
     "it. All networks of a sweep are timed together, in turns and several times round; the value is the "
     "median over the turns' medians. Runs of the same network (class, arguments, sizes of all tensors, image size) "
     "share one time. Only times of one session compare; others, and those of a run timed alone, are not colored."),
    ("Fit time", "What the fit costs with nothing at hand: decoding, features of a frozen backbone and a memory bank "
     "that earlier runs had worked out count as long as they took there. Blank where that is not known; colored only "
     "where all of a data set was fitted on one machine with as many threads."),
    ("Synthetic", "A data set marked synthetic has drawn defects; numbers on it do not tell how well real defects are "
     "found."),
)  # fmt: skip
_COLUMNS = (
    ("n of n runs", "How many of the runs that were asked for finished, and why others did not."),
    ("Epochs", "Passes over the training images; stopped by tells what ended them."),
    ("Contamination", "Share of anomalous images put among the training images."),
    ("k-shot", "Number of training images, where it was limited."),
)


def about_frame(
    records: Sequence[Record],
    plans: Sequence[SweepPlan],
    leaderboard: pd.DataFrame,
    warnings: Sequence[str],
    probes: Sequence[Line] = (),
    overall: OverallRanking | str = "",
) -> pd.DataFrame:
    """Rows of section, name, value.

    Args:
        records: Those that the leaderboard uses and that finished.
        plans: What was asked for.
        leaderboard: One row per model and data set, ranked.
        probes: Of backbones, whose data are told.
        warnings: What the reader should know of files that could not be read.
        overall: Detectors over many categories, or why there is no such ranking.
    """
    rows = [("Result", dataset, sentence) for dataset, sentence in best_sentences(leaderboard, records)]
    found = (
        *warnings,
        *_positions(records),
        *_data_differences(records),
        *_differences(records),
        *time_warnings(leaderboard),
    )
    rows += [("Warnings", "", text) for text in found]
    rows += [("Over categories", *row) for row in overall_sentences(overall)] if overall else []
    rows += [("Runs", *row) for row in _sweeps(records, plans)]
    rows += [("Latency", *row) for row in latency_sessions(records)]
    rows += [("Environment", name, _shares(found)) for name, found in _environments(records).items()]
    rows += [("Data sets", *row) for row in _data_sets(records)]
    rows += [("Probes", *row) for row in _probes(probes)]
    rows += [("Weights", *row) for row in _weights(records)]
    rows += [("Protocol", "Version", str(PROTOCOL_VERSION)), *(("Protocol", *row) for row in PROTOCOL)]
    rows += [
        ("Columns", f"{m.label} ({m.unit})" if m.unit not in ("", "bytes") else m.label, m.meaning) for m in METRICS
    ]
    rows += [("Columns", *row) for row in _COLUMNS]
    return pd.DataFrame(rows, columns=["section", "name", "value"])


def best_sentences(leaderboard: pd.DataFrame, records: Sequence[Record] = ()) -> list[tuple[str, str]]:
    """For each data set, its name and one sentence that says which detector did best, or why none can be named."""
    sentences = []
    for dataset, lines in leaderboard.groupby("dataset", sort=True):
        name = f"{dataset} (synthetic)" if lines["synthetic"].any() else str(dataset)
        best = lines[lines["rank"] == 1]
        if best.empty:
            own = [record for record in records if record.dataset.name == dataset]
            sentences.append((name, _untested(own) or "No detector has all of its runs finished and converged yet."))
            continue
        first = best.iloc[0]
        named = " on ".join(filter(None, [first["model"], first["backbone"]]))
        settings = f" ({first['settings']})" if first["settings"] else ""
        text = f"{named}{settings}: image AUROC {first['image_AUROC']:.3f}"
        for column, label, shown in (("pixel_AUROC", "pixel AUROC", "{:.3f}"), ("latency_ms", "latency", "{:.0f} ms")):
            if pd.notna(first[column]):
                text += f", {label} {shown.format(first[column])}"
        n_ranked = int(lines["rank"].notna().sum())
        sentences.append((name, f"{text}. Best of {n_ranked} ranked, {len(lines) - n_ranked} without rank."))
    return sentences


def _untested(records: Sequence[Record]) -> str | None:
    """What is missing from a test set of one kind of images, and what to do; None where there are both."""
    for record in records:
        data = record.dataset
        if data.lack is None:
            continue
        if "anomalous" in data.lack:
            remedy = (
                "Name the folder of defective images (abnormal_dir), or have defects drawn: test_split_mode: synthetic "
                "for a folder, extensions.ElpvSynthetic for the packaged images."
            )
        else:
            remedy = "Name the folder of good images that are not trained on (normal_test_dir)."
        return (
            f"Trained, but there was nothing to test with: {data.lack} ({data.n_train} training images; test "
            f"{data.n_test_normal} normal, {data.n_test_anomalous} anomalous), so there are no metrics and no ranks. "
            f"{remedy}"
        )
    return None


def _sweeps(records: Sequence[Record], plans: Sequence[SweepPlan]) -> Iterable[tuple[str, str]]:
    for command in dict.fromkeys(plan.command for plan in plans if plan.command):
        yield "Command", command
    if configs := dict.fromkeys(plan.config for plan in plans if plan.config):
        yield "Configuration", ", ".join(configs)
    started = sorted(record.started for record in records if record.started)
    if started:
        yield "Date", f"runs started from {started[0]} to {started[-1]}"
        yield "Run time", f"{sum(record.seconds or 0 for record in records) / 60:.1f} minutes in all"
    yield "Finished runs", f"{len(records)} counted in the tables"


def _data_sets(records: Sequence[Record]) -> Iterable[tuple[str, str]]:
    known_last = sorted(records, key=lambda r: r.dataset.position_score is not None)  # not every detector asks for it
    seen = {(r.dataset.name, r.dataset.category, r.dataset.sha256): r.dataset for r in known_last}
    for (name, category, sha256), data in sorted(seen.items(), key=lambda item: [str(part) for part in item[0]]):
        parts = [
            f"{data.n_train} training images",
            f"test {data.n_test_normal} normal and {data.n_test_anomalous} anomalous",
            f"{data.n_masks} masks" if data.n_masks else "no masks",
        ]
        kinds = ", ".join(f"{kind} {n}" for kind, n in data.defect_kinds.items())
        parts += [f"defects: {kinds}"] if kinds else []
        parts += ["synthetic defects"] if data.synthetic else []
        if data.aligned:
            parts += [f"images aligned ({data.n_unaligned or 'none'} could not be), {data.alignment_ms:.0f} ms each"]
        if data.position_score is not None:
            parts += [f"position score {data.position_score:.2f}"]
        yield "/".join(filter(None, [name, category])), f"{'; '.join(parts)}; content {str(sha256)[:12]}"


def _probes(probes: Sequence[Line]) -> Iterable[tuple[str, str]]:
    """Of each data set that backbones were probed on, its size and what guessing would give."""
    for label, probe in sorted(dict(zip(probe_labels(probes), probes, strict=True)).items()):
        chance = "" if probe["chance"] is None else f"; guessing is right for {probe['chance']:.1%}"
        counts = f"{probe['n_train']} training images of {probe['n_classes']} classes, {probe['n_test']} test images"
        files = ", ".join(dict.fromkeys(other["file"] for other in probes if other["data"] == probe["data"]))
        yield label, f"{counts}{chance}; images of {probe['image_size']} px; {files}"


def _weights(records: Sequence[Record]) -> Iterable[tuple[str, str]]:
    found = {(r.backbone, r.weights.source, r.weights.sha256) for r in records if r.weights and r.weights.sha256}
    for backbone, source, sha256 in sorted(found, key=str):
        yield backbone, f"{source}, sha256 {sha256}"


def _environments(records: Sequence[Record]) -> dict[str, Counter[str]]:
    """For each fact of the environment, in how many records it has which value."""
    facts: dict[str, Counter[str]] = {}
    for record in records:
        for name, value in record.environment.items():
            facts.setdefault(name, Counter())[str(value)] += 1
    return facts


def _differences(records: Sequence[Record]) -> Iterable[str]:
    """A sentence for each fact of the environment in which the records differ."""
    for name, found in _environments(records).items():
        if len(found) > 1:
            yield f"Runs differ in {name}: {_shares(found)}; speed and last digits may not compare."


def _data_differences(records: Sequence[Record]) -> Iterable[str]:
    """A sentence for each data set whose content differs though no argument says that it should."""
    contents: dict[str, Counter[str]] = {}
    for record in records:
        data = record.dataset
        if not (data.k_shot or data.contamination_ratio or data.contamination or data.known_kinds):
            name = "/".join(filter(None, [data.name, data.category]))
            name += ", trained with others" if data.products else ""
            contents.setdefault(name, Counter())[str(data.sha256)[:12]] += 1
    for name, found in contents.items():
        if len(found) > 1:
            yield f"{name}: rows differ in the content of the data ({_shares(found)}); their numbers may not compare."


def _positions(records: Sequence[Record]) -> Iterable[str]:
    """A sentence for each data set on which a detector bound to places was run though its images lie differently."""
    told: dict[tuple[str, str], None] = {}
    for record in records:
        if record.dataset.position_remark:
            told[record.dataset.label, record.dataset.position_remark] = None
    yield from (f"{name}: {remark}." for name, remark in told)


def _shares(found: Counter[str]) -> str:
    """One value, or each with its number of runs."""
    if len(found) == 1:
        return next(iter(found))
    return ", ".join(f"{value or 'unknown'} ({n} run{'s' if n > 1 else ''})" for value, n in found.most_common())
