"""MLflow; into a SQLite file in the output folder unless the settings say otherwise: `mlflow ui` shows it."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # MLflow tells its makers what is used, over the network

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from benchmark.log.record_facts import Facts

for _library in ("mlflow", "alembic"):  # each new database is a dozen lines
    logging.getLogger(_library).setLevel(logging.WARNING)

EXPERIMENT = "anomaly-workbench"
MOST = 100  # entries that MLflow takes at once
LONGEST = 6000  # characters of a parameter


def write(facts: Facts, settings: Mapping[str, Any], output: Path) -> None:
    """One run, with the record's key among its tags; curves step by epoch.

    Args:
        facts: What is sent.
        settings: `tracking_uri`, and the name of the `experiment`.
        output: Where `mlflow.db` and the tables are put without `tracking_uri`.
    """
    output.mkdir(parents=True, exist_ok=True)
    own = f"sqlite:///{(output / 'mlflow.db').resolve()}"
    client = MlflowClient(tracking_uri=settings.get("tracking_uri") or own)
    run = client.create_run(_experiment(client, settings, output), run_name=facts.name).info.run_id
    metrics = [Metric(_name(name), value, 0, 0) for name, value in facts.metrics.items()]
    metrics += [Metric(name, value, 0, epoch) for name, curve in facts.curves.items() for epoch, value in
                enumerate(curve)]  # fmt: skip
    params = [Param(_name(name), str(value)[:LONGEST]) for name, value in facts.parameters.items()]
    tags = [RunTag("key", facts.key), *(RunTag(f"file.{name}", path) for name, path in facts.files.items())]
    for start in range(0, max(len(metrics), len(params)), MOST):
        client.log_batch(run, metrics=metrics[start : start + MOST], params=params[start : start + MOST])
    client.log_batch(run, tags=tags)
    if facts.scores is not None:
        client.log_table(run, facts.scores, "scores.json")
    client.set_terminated(run)


def _name(text: str) -> str:
    """A name without what MLflow refuses, such as the brackets in the name of a kind of defect."""
    return re.sub(r"[^\w .:/-]", "_", text, flags=re.ASCII)


def _experiment(client: MlflowClient, settings: Mapping[str, Any], output: Path) -> str:
    name = settings.get("experiment", EXPERIMENT)
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    beside = None if settings.get("tracking_uri") else (output / "mlflow").resolve().as_uri()
    return str(client.create_experiment(name, artifact_location=beside))
