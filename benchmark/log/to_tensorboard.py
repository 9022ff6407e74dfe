"""TensorBoard; into the folder `tensorboard` of the output folder: `tensorboard --logdir FOLDER` shows it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from benchmark.log.record_facts import Facts


def write(facts: Facts, settings: Mapping[str, Any], output: Path) -> None:
    """One run in a folder that begins with its name and ends with its key; it takes the place of an earlier one.

    Args:
        facts: What is sent.
        settings: `folder` of all runs.
        output: Its place without that.
    """
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in facts.name)[:80]
    folder = Path(settings.get("folder") or output / "tensorboard") / f"{name}-{facts.key}"
    shutil.rmtree(folder, ignore_errors=True)
    with SummaryWriter(str(folder)) as writer:
        for curve_name, curve in facts.curves.items():
            for epoch, value in enumerate(curve):
                writer.add_scalar(curve_name, value, epoch)
        for metric, number in facts.metrics.items():
            writer.add_scalar(metric, number, 0)
        writer.add_text("parameters", _table(facts.parameters))
        writer.add_text("files", _table(facts.files))
        writer.add_hparams(facts.parameters, facts.metrics, run_name=".")
        if facts.scores is not None:
            for label, word in ((0, "normal"), (1, "anomalous")):
                chosen = facts.scores.loc[facts.scores["label"] == label, "score"]
                if len(chosen):
                    writer.add_histogram(f"scores/{word}", torch.tensor(chosen.to_numpy()), 0)


def _table(values: Mapping[str, Any]) -> str:
    """Markdown."""
    rows = [f"| {name} | {str(value).replace('|', '/')} |" for name, value in values.items()]
    return "\n".join(["| name | value |", "|---|---|", *rows])
