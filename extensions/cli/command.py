"""The command-line class: anomalib's, mended where it drops what the config says."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anomalib.cli.cli import AnomalibCLI
from anomalib.data import AnomalibDataModule
from jsonargparse import ArgumentError, ArgumentParser

import extensions
from extensions.backbones.stock_weights import stock_weights
from extensions.cli.arguments import UsageError, config_files, prepare_arguments
from extensions.cli.checkpoints import check_export, find_checkpoint
from extensions.cli.training import apply_seed, check_training_length, use_optimizer
from extensions.cli.usage import WORKS
from extensions.configuration import ConfigError
from extensions.configuration.components import ConstructorErrors
from extensions.configuration.errors import explain
from extensions.data.datamodules.datamodule import WorkbenchDataModule
from extensions.data.datamodules.stock import synthetic_splits, take_seed
from extensions.models.common.imaging_mixin import take_imaging
from extensions.models.common.known_defects import check_known_defects
from extensions.models.common.limits import check_image_size
from extensions.runtime.downloads import fetching
from extensions.runtime.epoch_lines_callback import RunLines, lightning_bars

logger = logging.getLogger(__name__)

DEFAULT_ROOT = Path("output/train")
SUBCOMMANDS = tuple(WORKS)
TRAINING = ("train", "fit")
NEED_DATA = (*TRAINING, "validate", "test")
RECORDED = ("model", "data", "trainer")


class WorkbenchCLI(AnomalibCLI):
    """anomalib's CLI with our classes and backbones known.

    Differs from anomalib's: `seed_everything` seeds before anything is built; `optimizer` and `lr_scheduler` take
    effect in train and fit or are refused; `--ckpt_path best|last` finds the newest run's checkpoint; `train
    --ckpt_path` tests what it trained, not what it started from; a gradient model needs an end to its training; a
    short class name means our class first; errors are one sentence.

    Args:
        args: A subcommand and its options.
        run: Whether to run it. If not, `engine`, `model` and `datamodule` are ready.
        build: Whether to build them at all. If not, only `config` is there, parsed and checked.

    Raises:
        UsageError: The command line is wrong.
        ConfigError: What the config says is wrong. Errors of models and datamodules pass through.
    """

    def __init__(self, args: Sequence[str], *, run: bool = True, build: bool = True) -> None:
        extensions.load()
        self._errors = ConstructorErrors()
        self._build = build
        self.outcome: Any = None  # of the subcommand: metrics, predictions or a path
        try:
            super().__init__(args=prepare_arguments(args), run=run and build)
        except ArgumentError as error:
            raise self._explained(error, args) from error

    @staticmethod
    def init_parser(**kwargs: Any) -> ArgumentParser:
        """A parser that raises instead of leaving the process."""
        return AnomalibCLI.init_parser(**kwargs, exit_on_error=False)

    @staticmethod
    def add_arguments_to_parser(parser: ArgumentParser) -> None:
        """anomalib's, but runs are written below `output`, beside what the other commands write."""
        AnomalibCLI.add_arguments_to_parser(parser)
        parser.set_defaults(default_root_dir=DEFAULT_ROOT)

    def before_instantiate_classes(self) -> None:
        """Seed everything; the seed drawn stands in the config that is saved with the run."""
        super().before_instantiate_classes()
        config = self.config[self.subcommand]
        if self.subcommand in NEED_DATA and config.get("data") is None:
            msg = f"{self.subcommand} needs data: give a config that has it, such as --config configs/data/elpv.yaml"
            raise UsageError(msg)
        config["seed_everything"] = apply_seed(config["seed_everything"])

    def instantiate_classes(self) -> None:
        """Build everything, and in training hold the model against the trainer's settings."""
        if not self._build:
            return
        self.parser.add_instantiator(self._errors, object)
        with self._errors, fetching(), stock_weights():
            super().instantiate_classes()
        check_image_size(self.model)
        self._seed_data()
        if self.subcommand in TRAINING:
            check_training_length(self.model, self._plain("trainer") or {})
        if self.subcommand == "train":  # the other commands do it while they build
            self._configure_optimizers_method_to_model()

    def _seed_data(self) -> None:
        """Let the seed draw the images of `k_shot`, as in a recorded run, and the splits of anomalib's datamodules.

        What a contaminated data set puts aside for the test stays: a later `test` does not know this run's seed.
        """
        seed, data = self.config[self.subcommand]["seed_everything"], getattr(self, "datamodule", None)
        if seed is False or not isinstance(data, AnomalibDataModule):
            return
        if isinstance(data, WorkbenchDataModule):
            WorkbenchDataModule.take_run_seed(data, seed)
        elif modes := synthetic_splits(data):
            logger.warning("data: %s draws other defects in every process; no two tests are of the same", modes[0])
        elif take_seed(data, seed):
            logger.info("data.seed is not given: seed_everything %d splits; train and test take the same one", seed)

    def training_config(self) -> dict[str, Any]:
        """What defines the run, as plain data in the config's own keys, with its seed and without defaults.

        Raises:
            ConfigError: The run has no seed and could not be repeated, or it has what a record does not hold.
        """
        seed = self.config[self.subcommand]["seed_everything"]
        for key in ("optimizer", "lr_scheduler", "ckpt_path"):
            if self._get(self.config, key) is not None:
                msg = (
                    f"{key}: a record holds model, data, trainer and seed only; remove {key} or train without --record"
                )
                raise ConfigError(msg)
        if seed is False:
            msg = "seed_everything is false, so a record of this run could not be repeated; give a number"
            raise ConfigError(msg)
        parser = self._parser(self.subcommand)
        text = parser.dump(self.config[self.subcommand], format="json", skip_default=True, skip_validation=True)
        config = {key: value for key, value in json.loads(text).items() if key in RECORDED and value}
        return {"seed_everything": seed, **config}

    def _configure_optimizers_method_to_model(self) -> None:
        if self.subcommand in TRAINING:
            use_optimizer(self.model, self._plain("optimizer"), self._plain("lr_scheduler"))

    def _run_subcommand(self) -> None:
        kwargs = self._prepare_subcommand_kwargs(str(self.subcommand))
        if self.subcommand in TRAINING and isinstance(self.datamodule, WorkbenchDataModule):
            self.datamodule.setup()
            check_known_defects(self.model, self.datamodule)  # ours do it themselves, anomalib's own do not
            take_imaging(self.model, self.datamodule)
        if self.subcommand == "train" and kwargs.get("ckpt_path"):
            # Engine.train would continue from this checkpoint and then test it instead of what came of it.
            datamodule = kwargs.get("datamodule")
            self.engine.fit(self.model, datamodule=datamodule, ckpt_path=kwargs["ckpt_path"])
            self.outcome = self.engine.trainer.test(self.model, datamodule=datamodule)
        else:
            self.outcome = getattr(self.engine, str(self.subcommand))(**kwargs)

    def instantiate_engine(self) -> None:
        """Show bars only where somebody watches, elsewhere lines; the summary of layers only where it is asked for."""
        trainer = self._get(self.config_init, "trainer")
        trainer["enable_progress_bar"] = lightning_bars(trainer.get("enable_progress_bar"))
        if trainer.get("enable_model_summary") is None:
            trainer["enable_model_summary"] = False
        given = trainer.get("callbacks") or []
        trainer["callbacks"] = [*(given if isinstance(given, list) else [given]), RunLines()]
        super().instantiate_engine()

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        kwargs = super()._prepare_subcommand_kwargs(subcommand)
        if kwargs.get("ckpt_path"):
            data = self.datamodule
            dataset = Path(data.name) / (data.category or "") if isinstance(data, AnomalibDataModule) else None
            kwargs["ckpt_path"] = find_checkpoint(
                kwargs["ckpt_path"],
                root=Path(self._get(self.config_init, "default_root_dir")),
                model=self.model.name,
                dataset=dataset,
            )
            logger.info("checkpoint: %s", kwargs["ckpt_path"])
            if subcommand == "export":
                check_export(self.model, kwargs["ckpt_path"])
        return kwargs

    def _plain(self, key: str) -> dict[str, Any] | None:
        """A part of the parsed config as nested dictionaries."""
        value = self._get(self.config, key)
        return value.as_dict() if value is not None else None

    def _explained(self, error: ArgumentError, args: Sequence[str]) -> ConfigError:
        """The parser's error in one sentence, with the config file it must be about, if that is sure."""
        message = str(error)
        parser = getattr(self, "subcommand_parsers", {}).get(args[0]) if args else None
        text = explain(message, known=parser.get_defaults().keys() if parser else ())
        files = config_files(args)
        only_config = len(files) == 1 and not any(arg.startswith("--") and "config" not in arg for arg in args)
        if only_config:
            return ConfigError(f"{files[0]}: {text}")
        return UsageError(text) if 'Parser key "' not in message else ConfigError(text)
