"""`anomalib benchmark` on this machine's backbone weights: python -m benchmark.speed.stock_benchmark JOB.json.

Runs anomalib's own pipeline. Changed are only: the backbone's weights come from where ours come from, images are
resized as by ours, the seed is set before the model is built, as by ours (anomalib sets it afterwards, and with it a
PaDiM draws other channels at every start), and if it is asked for, the sampler selects only some centers itself.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def main(job_file: Path) -> None:
    """Run a job: config (a file for anomalib), backbone, pre_trained, image_size, seed, n_centers, log (a file)."""
    from anomalib.pipelines import Benchmark

    from benchmark.speed.coreset import capped_sampler

    job = json.loads(job_file.read_text(encoding="utf-8"))
    with prepared(job), capped_sampler(job["n_centers"]) as coresets:
        Benchmark().run(Namespace(config=job["config"]))
    Path(job["log"]).write_text(json.dumps(coresets), encoding="utf-8")


@contextmanager
def prepared(job: dict[str, Any]) -> Iterator[None]:
    """Anomalib's pipeline with our weights, pre-processing and random state."""
    import torch
    from anomalib.models import Padim, Patchcore
    from anomalib.models.components import TimmFeatureExtractor
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel
    from anomalib.pipelines.benchmark import generator
    from anomalib.pipelines.benchmark import job as jobs
    from lightning import seed_everything

    from extensions.backbones import load_backbone_weights, register
    from extensions.models.common.pre_processor import default_pre_processor

    register()
    build, get_model = TimmFeatureExtractor.__init__, generator.get_model
    train, subsample = Patchcore.training_step, PatchcoreModel.subsample_embedding
    random_state: list[torch.Tensor] = []

    def build_with_weights(self: Any, *arguments: Any, **named: Any) -> None:
        build(self, *arguments, **named)
        if job["pre_trained"]:
            load_backbone_weights(self, job["backbone"])

    def get_seeded_model(*arguments: Any, **named: Any) -> Any:
        seed_everything(job["seed"], workers=True, verbose=False)
        return get_model(*arguments, **named)

    # Anomalib validates before it selects the coreset, and starting to validate draws a random number.
    def train_and_remember(self: Any, *arguments: Any, **named: Any) -> Any:
        loss = train(self, *arguments, **named)
        random_state[:] = [torch.get_rng_state()]
        return loss

    def subsample_from_there(self: Any, *arguments: Any, **named: Any) -> Any:
        torch.set_rng_state(random_state[0])
        return subsample(self, *arguments, **named)

    def pre_processor(*_: Any, **__: Any) -> Any:
        return default_pre_processor(job["backbone"], image_size=job["image_size"])

    TimmFeatureExtractor.__init__ = build_with_weights
    generator.get_model = get_seeded_model
    jobs.seed_everything = lambda *_: None
    Patchcore.training_step, PatchcoreModel.subsample_embedding = train_and_remember, subsample_from_there
    defaults = {model: model.__dict__.get("configure_pre_processor") for model in (Padim, Patchcore)}
    for model in defaults:
        model.configure_pre_processor = staticmethod(pre_processor)
    try:
        yield
    finally:
        TimmFeatureExtractor.__init__, generator.get_model = build, get_model
        jobs.seed_everything = seed_everything
        Patchcore.training_step, PatchcoreModel.subsample_embedding = train, subsample
        for model, default in defaults.items():
            if default is None:
                del model.configure_pre_processor
            else:
                model.configure_pre_processor = default


if __name__ == "__main__":
    main(Path(sys.argv[1]))
