"""Fill the tables of README.md and results/README.md from the committed records: `make readme` after new results."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parent.parent
HEADLINE = ("image_AUROC", "image_F1Score", "pixel_AUROC", "pixel_F1Score")
LABELS = ("image AUROC", "image F1", "pixel AUROC", "pixel F1")


def tables() -> dict[str, str | None]:
    """Markdown of each table by the name that its markers bear; None for one whose results are not there yet."""
    from benchmark.interactive import read_leaderboard

    quickstart, reference = (read_leaderboard(ROOT / "results" / name) for name in ("quickstart", "reference"))
    published = yaml.safe_load((ROOT / "results" / "published.yaml").read_text(encoding="utf-8"))
    found: dict[str, str | None] = {"quickstart": markdown(quickstart)}
    found["speed"] = speed_table(ROOT / "results" / "speed" / "speed.json")
    for dataset, known in published.items():
        name = {"bottle": "mvtecad"}.get(dataset, dataset)
        ours = reference[reference["dataset"].str.lower() == name]
        found[dataset] = markdown(ours) + "\n\nPublished:\n\n" + published_markdown(known)
    return found


def markdown(frame: pd.DataFrame) -> str:
    """Rows of a leaderboard for a reader: rank, detector, headline metrics, speed, status."""
    heads = ("", "detector", "backbone", "settings", "data", *LABELS, "ms/image", "status")
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in frame.to_dict("records"):
        rank = "" if pd.isna(row["rank"]) else f"{row['rank']:.0f}"
        data = row["dataset"] + (" (synthetic defects)" if row["synthetic"] else "")
        numbers = " | ".join("" if pd.isna(row[name]) else f"{row[name]:.3f}" for name in HEADLINE)
        texts = " | ".join(str(row[name]) for name in ("model", "backbone", "settings"))
        latency = "" if pd.isna(row["latency_ms"]) else f"{row['latency_ms']:.0f}"
        lines.append(f"| {rank} | {texts} | {data} | {numbers} | {latency} | {row['status']} |")
    return "\n".join(lines)


def speed_table(path: Path) -> str | None:
    """The table of `make speed`."""
    from benchmark.speed.table import readme_table

    return readme_table(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def published_markdown(rows: list[dict]) -> str:
    """Published numbers with their source."""
    lines = ["| detector | backbone | image AUROC | pixel AUROC | source |", "|---|---|---|---|---|"]
    for row in rows:
        values = " | ".join(f"{row[name]:.3f}" if name in row else "" for name in ("image", "pixel"))
        lines.append(f"| {row['model']} | {row.get('backbone', '')} | {values} | [{row['source']}]({row['url']}) |")
    return "\n".join(lines)


def filled(text: str, found: dict[str, str | None]) -> str:
    """The text with every table between `<!-- table: NAME -->` and `<!-- end -->` replaced where there is one."""

    def replace(match: re.Match[str]) -> str:
        if found[match[1]] is None:
            return match[0]
        return f"<!-- table: {match[1]} -->\n{found[match[1]]}\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", replace, text, flags=re.DOTALL)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    known = tables()
    for path in (ROOT / "README.md", ROOT / "results" / "README.md"):
        path.write_text(filled(path.read_text(encoding="utf-8"), known), encoding="utf-8")
