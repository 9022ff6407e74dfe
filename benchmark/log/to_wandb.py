"""Weights & Biases; offline unless the settings say otherwise: `wandb sync FOLDER` uploads what was written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # its crash reports go over the network, offline or not

import wandb

from benchmark.log.record_facts import Facts

PROJECT = "anomaly-workbench"


def write(facts: Facts, settings: Mapping[str, Any], output: Path) -> None:
    """One run, named by model and data, with the record's key as its id.

    Args:
        facts: What is sent.
        settings: `project`, `mode` (offline, online, disabled), `dir`, `entity`, `group`.
        output: Where wandb's folder is put without `dir`.
    """
    folder = Path(settings.get("dir") or output)
    folder.mkdir(parents=True, exist_ok=True)
    run = wandb.init(
        project=settings.get("project", PROJECT),
        entity=settings.get("entity"),
        group=settings.get("group"),
        mode=settings.get("mode", "offline"),
        dir=str(folder),
        id=facts.key,
        name=facts.name,
        config=facts.parameters | {"files": facts.files},
        reinit="finish_previous",
        settings=wandb.Settings(console="off", silent=True, x_disable_stats=True, disable_git=True, save_code=False),
    )
    try:
        for epoch in range(max((len(curve) for curve in facts.curves.values()), default=0)):
            run.log({name: curve[epoch] for name, curve in facts.curves.items() if epoch < len(curve)}, step=epoch)
        if facts.scores is not None:
            run.log({"scores": wandb.Table(dataframe=facts.scores)})
        run.summary.update(facts.metrics)
    finally:
        run.finish()
