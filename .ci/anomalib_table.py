"""The table of docs/anomalib-models.md from the record of `anomalib_models.py`, for `readme_tables.py`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

HEADS = ("class", "runs offline", "asks for", "its license", "MB", "px", "one epoch", "map", "export", "MVTec AD")
OURS = ("Padim", "Patchcore", "Dfm", "Stfpm", "Cflow", "Fastflow", "ReverseDistillation")
# What no error tells: requirements beside files, and what is known of files that timm has no license of.
BESIDES = {
    "CFM": "images with point clouds (`anomalib.data.MVTec3D`), which no data set of the workbench has",
    "VlmAd": "a language model behind Ollama, or a key of OpenAI's",
    "WinClip": "`pip install anomalib[clip]`, then the hub's weights of CLIP; a `class_name`",
    "EfficientAd": "`train_batch_size: 1`; ImageNette as `imagenet_dir`: any folder of folders of images will do",
    "Draem": "any folder of texture images will do as `dtd_dir`",
}
LICENSES = {
    "download.pytorch.org": "BSD-3-Clause",
    "efficientad_pretrained_weights": "not stated",
    "dsr": "not stated",
    "dtd": "research only",
    "imagenette": "ImageNet's",
    "Point-MAE": "not stated",
    "MaticFuc/anomalyvfm_radio": "not stated",
}
# Mean image AUROC over the 15 categories of MVTec AD by the README of each model in anomalib 2.7: what anomalib's own
# code gives there, with the backbone that does best. AnomalyVFM's is zero-shot, CS-Flow's at 768 px.
BY_ANOMALIB = {
    "AnomalyVFM": 0.964,
    "Cfa": 0.956,
    "Cflow": 0.962,
    "Csflow": 0.987,
    "Dfkde": 0.774,
    "Dfm": 0.943,
    "Dinomaly": 0.997,
    "EfficientAd": 0.982,
    "Fastflow": 0.963,
    "Fre": 0.933,
    "Ganomaly": 0.421,
    "Glass": 0.972,
    "L2BT": 0.977,
    "Padim": 0.950,
    "Patchcore": 0.980,
    "ReverseDistillation": 0.985,
    "Stfpm": 0.893,
    "Supersimplenet": 0.980,
    "UniNet": 0.956,
}
# What an export says, in a few words.
REFUSALS = {
    "differs from the trained": "no: differs",
    "bilinear Resize": "with `ImagePreProcessor`",
    "only for 2 images at once": "no: for two images at once",
}


def anomalib_models_table(path: Path) -> str | None:
    """A row a class: with what it runs here, else which file it asks for; None without a record."""
    if not path.is_file():
        return None
    lines = [f"| {' | '.join(HEADS)} |", "|---" * len(HEADS) + "|"]
    for name, row in json.loads(path.read_text(encoding="utf-8")).items():
        lines.append(f"| {' | '.join(cells(name, row))} |")
    return "\n".join(lines)


def cells(name: str, row: dict[str, Any]) -> list[str]:
    """A row of the table."""
    attempts = row["attempts"]
    ended = next((one for one in attempts.items() if one[1]["status"] == "finished"), None)
    found = ended[1] if ended else {}
    asked = [one["error"] for one in attempts.values() if one["status"] != "finished"]
    files = list(dict.fromkeys(file for error in asked for file in files_of(error)))
    if ended and ended[0] == "defaults" and found["weights"]:
        files = [found["weights"]]
    needs = "; ".join([*files, *([BESIDES[name]] if name in BESIDES else [])])
    if not needs and asked and not ended:
        needs = asked[-1]
    by = {"defaults": "yes", "config": f"with [{name.lower()}.yaml](../configs/models/anomalib/{name.lower()}.yaml)"}
    runs = by.get(ended[0], "no") if ended else "no"
    seconds = f"{found['fit_seconds']:.0f} s" if found else row.get("lost", "")
    if runs == "no" and found:
        seconds += " \\*"
    size = f"{found['megabytes']:.0f}" if found else ""
    license_ = " / ".join(dict.fromkeys(filter(None, (license_of(file, row) for file in files))))
    told = f"`{name}`" + (f" (ours: `extensions.{name}`)" if name in OURS else "")
    has_map = "" if not found else "yes" if found["has_map"] else "no"
    side = str(found["image_size"][0]) if found else ""
    by_anomalib = f"{BY_ANOMALIB[name]:.3f}" if name in BY_ANOMALIB else ""
    return [told, runs, needs, license_, size, side, seconds, has_map, export_of(found), by_anomalib]


def files_of(error: str) -> list[str]:
    """Which files an error asks for, and from where."""
    if hub := re.search(r"of the hub's (\S+) is not|\(4\) hub: (\S+?):", error):
        return [f"hub: `{hub[1] or hub[2]}`"]
    return [f"<{url}>" for url in re.findall(r"(https://\S+) cannot be reached", error)]


def license_of(file: str, row: dict[str, Any]) -> str:
    """As timm states it, else as it is known here."""
    known = next((license_ for part, license_ in LICENSES.items() if part in file), "")
    return row.get("licenses", {}).get(file.removeprefix("hub: ").strip("`")) or known


def export_of(found: dict[str, Any]) -> str:
    """The end of an export in few words."""
    text = found.get("export", "")
    if text in ("", "agrees", "not tried"):
        return "yes" if text == "agrees" else text
    if not found["has_map"]:
        return "no: no map"
    return next((told for sign, told in REFUSALS.items() if sign in text), f"no: {text.split(';')[0][:80]}")


def stock_table(frame: pd.DataFrame) -> str:
    """A row a data set and detector, means over its products: what it finds, and what it costs to fit and to ask."""
    metrics = {"image AUROC": "image_AUROC", "pixel AUROC": "pixel_AUROC", "pixel AP": "pixel_AveragePrecision"}
    heads = ("data", "detector", "backbone", "px", "seeds", *metrics, "fit, s", "ms/image", "status")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    means = frame[frame["category"] == "mean"].sort_values(["dataset", "image_AUROC"], ascending=[True, False])
    for row in means.to_dict("records"):
        costs = [f"{row[name]:.0f}" if row[name] == row[name] else "" for name in ("fit_seconds", "latency_ms")]
        shown = (
            row["dataset"],
            row["model"],
            row["backbone"],
            str(row["image_size"]).split("x")[0],
            str(row["n_seeds"]),
        )
        lines.append(
            f"| {' | '.join([*shown, *(spread_of(row, one) for one in metrics.values()), *costs, row['status']])} |"
        )
    return "\n".join(lines)


def spread_of(row: dict[str, Any], name: str) -> str:
    """A mean with its deviation over seeds, blank where there is none; a NaN is not equal to itself."""
    mean, deviation = row.get(name), row.get(f"{name}_std")
    if mean is None or mean != mean:
        return ""
    return f"{mean:.3f}" + (f" ± {deviation:.3f}" if deviation is not None and deviation == deviation else "")
