"""What a trained model says in anomalib's Engine: what an exported network is held against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from anomalib.models import AnomalibModule


def engine_predictions(model: AnomalibModule, files: Sequence[Path], workspace: Path) -> list[tuple[float, np.ndarray]]:
    """Raw score and map (h, w) of each file, as anomalib's `Engine.predict` computes them."""
    import pandas as pd
    from anomalib import TaskType
    from anomalib.engine import Engine
    from torch.utils.data import DataLoader

    from extensions.data.datamodules.dataset import WorkbenchDataset
    from extensions.runtime.lightning_runs import quiet

    samples = pd.DataFrame({"image_path": [str(file) for file in files]})
    samples = samples.assign(mask_path="", label_index=0, kind="good", split="test")
    dataset = WorkbenchDataset(samples, name="agreement", task=TaskType.CLASSIFICATION)
    loader = DataLoader(dataset, batch_size=1, collate_fn=dataset.collate_fn)
    aside = model.post_processor, model.evaluator, model.visualizer
    model.post_processor = model.evaluator = model.visualizer = None  # the first would normalize the scores
    try:
        with quiet():
            engine = Engine(
                accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, default_root_dir=workspace
            )
            found = engine.predict(model=model, dataloaders=loader) or []
    finally:
        model.post_processor, model.evaluator, model.visualizer = aside
    scored = {
        str(batch.image_path[0]): (
            float(batch.pred_score.reshape(())),
            batch.anomaly_map.float().numpy().reshape(batch.anomaly_map.shape[-2:]),
        )
        for batch in found
    }
    return [scored[str(file)] for file in files]  # anomalib's data sets sort their files
