import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from anomalib import LearningType
from anomalib.data import InferenceBatch
from anomalib.models import AnomalibModule
from anomalib.pre_processing import PreProcessor
from PIL import Image
from torch import nn
from torchvision.transforms.v2 import Resize

from extensions.__main__ import main
from extensions.cli import UsageError, WorkbenchCLI
from extensions.cli.arguments import prepare_arguments
from extensions.configuration import ConfigError
from extensions.models.padim.torch_model import PadimModel


class Net(nn.Module):
    """Predicts each image from itself blurred; frozen and trained weights, as in a student with its teacher."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Conv2d(3, 4, 3, padding=1)
        self.trained = nn.Conv2d(3, 4, 3, padding=1)

    def error(self, image: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            target = self.frozen(image)
        return (self.trained(nn.functional.avg_pool2d(image, 3, 1, 1)) - target).square().mean(1, keepdim=True)

    def forward(self, image: torch.Tensor) -> InferenceBatch:
        error = self.error(image)
        return InferenceBatch(pred_score=error.amax((1, 2, 3)), anomaly_map=error)


class TinyNet(AnomalibModule):
    """The smallest model that learns by gradient."""

    def __init__(self, lr: float = 0.1, width: int = 32) -> None:
        super().__init__(pre_processor=PreProcessor(Resize((width, width), antialias=True)), visualizer=False)
        if width < 8:
            msg = f"width: expected at least 8, found {width}"
            raise ValueError(msg)
        self.lr = lr
        self.model = Net()

    @property
    def trainer_arguments(self) -> dict:
        return {"num_sanity_val_steps": 0}

    @property
    def learning_type(self) -> LearningType:
        return LearningType.ONE_CLASS

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.model.trained.parameters(), lr=self.lr)

    def training_step(self, batch: object, *_: object) -> torch.Tensor:
        return self.model.error(batch.image).mean()

    def validation_step(self, batch: object, *_: object) -> object:
        return batch.update(**self.model(batch.image)._asdict())


class TinyManual(TinyNet):
    """Steps its own optimizer, as CFlow does."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False


Configure = Callable[..., Path]


@pytest.fixture
def configure(tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Write a config of a tiny run, with what is given in place of its keys; runs are written beside it."""
    monkeypatch.chdir(tmp_path)
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):  # restored afterwards, since seeding sets them
        monkeypatch.setenv(name, "0")
    folder = {
        "class_path": "anomalib.data.Folder",
        "init_args": {
            "name": "tiny",
            "root": str(tiny_root),
            "normal_dir": "train/good",
            "normal_test_dir": "test/good",
            "abnormal_dir": "test/bad",
            "train_batch_size": 4,
            "num_workers": 0,
            "val_split_mode": "same_as_test",
        },
    }
    trainer = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }

    def write(model: str | dict = "TinyNet", *, name: str = "tiny.yaml", **keys: object) -> Path:
        config = {"seed_everything": 1, "model": model, "data": folder, "trainer": trainer, **keys}
        if isinstance(model, str):
            config["model"] = {"class_path": model}
        path = tmp_path / name
        path.write_text(yaml.safe_dump({key: value for key, value in config.items() if value is not None}))
        return path

    return write


PADIM = {
    "class_path": "Padim",
    "init_args": {"backbone": "resnet18", "layers": ["layer1"], "n_features": 5, "pre_trained": False},
}


def run(subcommand: str, config: Path, *options: str) -> WorkbenchCLI:
    return WorkbenchCLI([subcommand, "--config", str(config), *options])


def trained(cli: WorkbenchCLI) -> torch.Tensor:
    return cli.model.model.trained.weight.detach()


def test_same_config_twice_gives_the_same_model_and_numbers(configure: Configure) -> None:
    config = configure()
    first, second = run("train", config), run("train", config)
    other = run("train", config, "--seed_everything", "2")
    assert torch.equal(trained(first), trained(second))
    assert first.engine.trainer.callback_metrics == second.engine.trainer.callback_metrics
    assert "image_AUROC" in first.engine.trainer.callback_metrics
    assert not torch.equal(trained(first), trained(other))


def test_train_ends_with_its_metrics_and_the_next_command_and_draws_nothing_into_a_log(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config = configure(trainer={"accelerator": "cpu", "max_epochs": 3})
    assert main(["train", "--config", str(config)]) == 0
    said = capsys.readouterr()
    metrics = dict(line.split() for line in said.out.splitlines()[:-1])
    assert 0 <= float(metrics["image_AUROC"]) <= 1
    kept = Path("output/train/TinyNet/tiny/v0/weights/lightning/model.ckpt")
    assert kept.is_file()
    last = said.out.splitlines()[-1]
    assert last.startswith(f"trained: {kept}; next: ")
    assert f"export --checkpoint {kept}" in last
    assert not (tmp_path / "results").exists()
    steps = [line.partition(":")[0] for line in said.err.splitlines()]
    assert steps[:3] == ["epoch 1 of 3", "epoch 2 of 3", "epoch 3 of 3"]
    assert steps[3].startswith("TinyNet fitted in")
    assert len(steps) == 4

    assert main(["test", "--config", str(config), "--ckpt_path", "last"]) == 0
    again = capsys.readouterr().out.splitlines()
    assert dict(line.split() for line in again[:-1]) == metrics
    assert again[-1].startswith("tested TinyNet")


@pytest.mark.parametrize("subcommand", ["train", "fit", "validate", "test", "predict", "export"])
def test_every_subcommand_writes_below_output(configure: Configure, subcommand: str, tiny_root: Path) -> None:
    needed = {"predict": ["--data", str(tiny_root)], "export": ["--export_type", "torch"]}.get(subcommand, [])
    cli = WorkbenchCLI([subcommand, "--config", str(configure()), *needed], build=False)
    assert Path(cli.config[subcommand].default_root_dir) == Path("output/train")
    assert Path(cli.config[subcommand].trainer.default_root_dir) == Path("output/train")


def test_drawn_seed_is_saved_and_repeats_the_run(configure: Configure, tmp_path: Path) -> None:
    first = run("fit", configure(seed_everything=None))
    saved = yaml.safe_load((tmp_path / "output/train/TinyNet/tiny/v0/config.yaml").read_text())
    assert isinstance(saved["seed_everything"], int)
    assert not isinstance(saved["seed_everything"], bool)
    again = run("fit", configure(seed_everything=saved["seed_everything"]))
    assert torch.equal(trained(first), trained(again))


def test_the_seed_draws_the_images_of_few_shot(configure: Configure) -> None:
    config = configure()
    content = yaml.safe_load(config.read_text())
    content["data"]["init_args"] |= {"k_shot": 2}
    content["data"]["class_path"] = "extensions.Folder"
    config.write_text(yaml.safe_dump(content))

    def drawn(seed: int) -> tuple[str, ...]:
        return tuple(run("fit", config, "--seed_everything", str(seed)).datamodule.k_shot_images)

    assert drawn(1) == drawn(1)
    assert len({drawn(seed) for seed in range(4)}) > 1


def test_the_seed_splits_a_stock_datamodule_and_says_so(configure: Configure, caplog: pytest.LogCaptureFixture) -> None:
    config = configure()
    content = yaml.safe_load(config.read_text())
    content["data"]["init_args"].pop("normal_test_dir")
    content["data"]["init_args"] |= {"val_split_mode": "from_test", "seed": None}
    config.write_text(yaml.safe_dump(content))

    def in_test(seed: int) -> list[str]:
        return sorted(run("fit", config, "--seed_everything", str(seed)).datamodule.test_data.samples["image_path"])

    with caplog.at_level("INFO", "extensions"):
        assert in_test(1) == in_test(1)
    assert "data.seed is not given: seed_everything 1 splits" in caplog.text
    assert len({tuple(in_test(seed)) for seed in range(4)}) > 1


def test_seed_false_seeds_nothing(configure: Configure) -> None:
    torch.manual_seed(5)
    expected = torch.get_rng_state()
    WorkbenchCLI(["train", "--config", str(configure(seed_everything=False))], build=False)
    assert torch.equal(torch.get_rng_state(), expected)


@pytest.mark.parametrize("subcommand", ["train", "fit"])
def test_optimizer_and_scheduler_of_the_config_take_effect(configure: Configure, subcommand: str) -> None:
    optimizer = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.5}}
    scheduler = {"class_path": "torch.optim.lr_scheduler.StepLR", "init_args": {"step_size": 1, "gamma": 0.1}}
    cli = run(subcommand, configure(optimizer=optimizer, lr_scheduler=scheduler))
    (used,) = cli.engine.trainer.optimizers
    assert type(used) is torch.optim.Adam
    assert used.param_groups[0]["lr"] == pytest.approx(0.05)
    chosen = [id(p) for group in used.param_groups for p in group["params"]]
    assert chosen == [id(p) for p in cli.model.model.trained.parameters()]


@pytest.mark.parametrize(
    ("model", "keys", "words"),
    [
        ("TinyManual", ("optimizer",), "TinyManual steps its own optimizer"),
        (PADIM, ("optimizer",), "Padim does not train by gradient"),
        ("TinyNet", ("lr_scheduler",), "lr_scheduler without optimizer"),
    ],
)
def test_optimizer_that_would_be_ignored_is_refused(
    configure: Configure, model: str | dict, keys: tuple[str, ...], words: str
) -> None:
    specs = {
        "optimizer": {"class_path": "torch.optim.Adam"},
        "lr_scheduler": {"class_path": "torch.optim.lr_scheduler.StepLR", "init_args": {"step_size": 1}},
    }
    with pytest.raises(ConfigError, match=words):
        WorkbenchCLI(["train", "--config", str(configure(model, **{key: specs[key] for key in keys}))], run=False)


def test_known_defects_are_refused_by_a_model_of_another_package(
    configure: Configure, tiny_root: Path, tmp_path: Path
) -> None:
    known = tmp_path / "known"
    for folder, images in (("bad", "test/bad"), ("ground_truth/bad", "mask/bad")):
        shutil.copytree(tiny_root / images, known / folder)
    arguments = {"name": "tiny", "root": str(tiny_root), "normal_dir": "train/good", "num_workers": 0}
    data = {"class_path": "extensions.Folder", "init_args": arguments | {"known_defects_dir": str(known)}}
    with pytest.raises(ValueError, match=r"TinyNet learns from good images alone, .* hold \d known defects"):
        run("train", configure(data=data))


def test_gradient_model_without_end_of_training_is_refused(configure: Configure) -> None:
    with pytest.raises(ConfigError, match=r"TinyNet trains by gradient and trainer\.max_epochs is not given"):
        run("train", configure(trainer={"accelerator": "cpu"}))
    WorkbenchCLI(["train", "--config", str(configure(trainer={"max_steps": 1}))], run=False)
    WorkbenchCLI(["test", "--config", str(configure(trainer={}))], run=False)
    WorkbenchCLI(["train", "--config", str(configure(PADIM, trainer={}))], run=False)


@pytest.mark.parametrize("name", ["best", "last"])
def test_checkpoint_by_name_is_the_one_just_trained(configure: Configure, name: str) -> None:
    config = configure()
    training = run("train", config)
    testing = run("test", config, "--ckpt_path", name, "--seed_everything", "9")
    assert torch.equal(trained(training), trained(testing))
    assert training.engine.trainer.callback_metrics == testing.engine.trainer.callback_metrics


def test_checkpoint_by_name_without_a_run_or_with_several_is_an_error(configure: Configure, tmp_path: Path) -> None:
    config = configure()
    with pytest.raises(ConfigError, match=r"--ckpt_path best: no finished run in .*TinyNet.tiny.latest"):
        run("test", config, "--ckpt_path", "best")
    with pytest.raises(ConfigError, match=r"--ckpt_path nowhere\.ckpt: there is no such file"):
        run("test", config, "--ckpt_path", "nowhere.ckpt")
    folder = tmp_path / "output/train/TinyNet/tiny/latest/weights/lightning"
    folder.mkdir(parents=True)
    (folder / "a.ckpt").touch()
    (folder / "b.ckpt").touch()
    with pytest.raises(ConfigError, match=r"expected one checkpoint in .*, found a\.ckpt, b\.ckpt"):
        run("test", config, "--ckpt_path", "best")


def test_training_on_from_a_checkpoint_tests_what_came_of_it(configure: Configure) -> None:
    before = trained(run("train", configure())).clone()
    after = run("train", configure(), "--ckpt_path", "last", "--trainer.max_epochs", "2")
    assert after.engine.trainer.current_epoch == 2
    assert not torch.equal(trained(after), before)
    assert "image_AUROC" in after.engine.trainer.callback_metrics


def test_predict_takes_the_training_config_and_a_folder_of_images(configure: Configure, tiny_root: Path) -> None:
    config = configure(optimizer={"class_path": "torch.optim.Adam"})
    run("fit", config)
    cli = run("predict", config, "--ckpt_path", "last", "--data", str(tiny_root / "test/bad"))
    (loader,) = cli.engine.trainer.predict_dataloaders
    assert len(loader.dataset) == 4


@pytest.fixture
def fitted(configure: Configure) -> Path:
    """Config of a PaDiM of 32 px that was fitted."""
    sized = {"class_path": "extensions.Padim", "init_args": {**PADIM["init_args"], "image_size": 32, "n_features": 8}}
    config = configure(sized)
    run("fit", config)
    return config


def test_predict_reads_files_as_training_does(fitted: Path, tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 64 * 64).reshape(64, 64)
    for name, pixels in (("8.png", (values / 257).round().astype(np.uint8)), ("16.png", values.astype(np.uint16))):
        (tmp_path / "given").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "given" / name)
    seen: dict[str, torch.Tensor] = {}
    forward = PadimModel.forward

    def remember(model: PadimModel, images: torch.Tensor) -> InferenceBatch:
        seen[str(len(seen))] = images.clone()
        return forward(model, images)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PadimModel, "forward", remember)
        run("predict", fitted, "--ckpt_path", "last", "--data", str(tmp_path / "given"))
    torch.testing.assert_close(seen["0"], seen["1"], atol=0.02, rtol=0)


@pytest.mark.parametrize("command", [["test"], ["predict"], ["export", "--export_type", "torch"]])
def test_a_config_that_differs_from_the_checkpoint_is_refused(
    fitted: Path, capsys: pytest.CaptureFixture, command: list[str]
) -> None:
    name, *more = command
    args = [name, "--config", str(fitted), "--ckpt_path", "last", "--model.image_size", "48", *more]
    assert main(args) == 1
    said = "The checkpoint is of image_size=32, the model of image_size=48: build it with image_size=32."
    assert said in capsys.readouterr().err
    assert main([*args[:5], *more]) == 0


def test_short_names_mean_our_classes(configure: Configure) -> None:
    config = WorkbenchCLI(["train", "--config", str(configure(PADIM))], build=False).config
    assert config.train.model.class_path == "extensions.Padim"
    assert config.train.model.init_args.n_features == 5
    args = ["train", "--model", "Padim", "--model.n_features=7", "--data=Folder"]
    args += ["--data.name", "x", "--data.normal_dir", "good"]
    config = WorkbenchCLI(args, build=False).config
    assert (config.train.model.class_path, config.train.data.class_path) == ("extensions.Padim", "extensions.Folder")
    assert config.train.model.init_args.n_features == 7


def test_stock_command_line_takes_the_same_config(configure: Configure) -> None:
    from anomalib.cli.cli import AnomalibCLI

    cli = AnomalibCLI(["train", "--config", str(configure({**PADIM, "class_path": "extensions.Padim"}))], run=False)
    assert type(cli.model).__module__.startswith("extensions.")


@pytest.mark.parametrize(
    ("keys", "options", "code", "words"),
    [
        ({}, ["--foo"], 2, ["--foo"]),
        ({}, ["--model.width", "wide"], 1, ["model.init_args.width", "expected int", "found wide"]),
        ({}, ["--ckpt_path", "no.ckpt"], 1, ["no.ckpt"]),
        ({}, ["--model", "TinyNetz"], 1, ["'TinyNetz'"]),
        ({}, ["--model.width", "3"], 1, ["width: expected at least 8, found 3"]),
        ({"optimizr": 1}, [], 1, ["tiny.yaml", "'optimizr'", "did you mean optimizer?"]),
        ({"zzz": 1}, [], 1, ["unknown key 'zzz' (known: ckpt_path, config, data, default_root_dir,"]),
        ({"trainer": {"max_epoch": 1}}, [], 1, ["'trainer.max_epoch'", "did you mean trainer.max_epochs"]),
        ({"trainer": {"max_epochs": "many"}}, [], 1, ["trainer.max_epochs", "expected null or int", "found many"]),
        ({"model": {"class_path": "TinyNet", "init_args": {"wdth": 1}}}, [], 1, ["'wdth'", "did you mean width?"]),
        ({"model": None}, [], 1, ["model"]),
        ({"model": {"class_path": "Padm"}}, [], 1, ["tiny.yaml", "'Padm'", "did you mean extensions.Padim"]),
        ({"data": None}, [], 2, ["test needs data"]),
    ],
)
def test_errors_are_one_line_with_an_exit_code(
    configure: Configure,
    capsys: pytest.CaptureFixture,
    keys: dict,
    options: list[str],
    code: int,
    words: list[str],
) -> None:
    assert main(["test", "--config", str(configure(**keys)), *options]) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert not [word for word in words if word not in lines[0]], lines[0]


def test_the_data_root_is_an_argument_of_the_data_wherever_it_stands(tmp_path: Path) -> None:
    config = ["--config", "configs/data/folder.yaml"]
    for given in (["--data-root", str(tmp_path), *config], [*config, f"--data-root={tmp_path}"]):
        *rest, last = prepare_arguments(["test", *given])
        assert rest == ["test", *config]
        assert last == f"--data.init_args.data_root={tmp_path.resolve()}"


def test_wrong_command_line_is_a_usage_error(capsys: pytest.CaptureFixture) -> None:
    for args, words in (
        ([], "expected one of train"),
        (["tran"], "did you mean train?"),
        (["benchmark"], "python -m benchmark"),
        (["train", "--config"], "expected one argument"),
        (["train"], "model"),
    ):
        assert main(args) == 2
        err = capsys.readouterr().err
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert words in err


def test_config_that_is_missing_or_broken_is_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("model:\n  a: 1\n b: 2\n")
    assert main(["train", "--config", str(broken)]) == 1
    assert f"{broken}:3:" in capsys.readouterr().err
    assert main(["train", f"--config={tmp_path / 'brokn.yaml'}"]) == 1
    assert "did you mean broken.yaml?" in capsys.readouterr().err


def test_debug_shows_where_an_error_came_from(
    configure: Configure, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ["test", "--config", str(configure()), "--foo"]
    with pytest.raises(UsageError):
        main([*args, "--debug"])
    monkeypatch.setenv("WORKBENCH_DEBUG", "1")
    with pytest.raises(UsageError):
        main(args)
    monkeypatch.setenv("WORKBENCH_DEBUG", "0")
    assert main(args) == 2


def test_record_hands_the_checked_config_to_the_benchmark(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    import benchmark.api.interactive
    from benchmark.api.run_object import Run
    from benchmark.records.record import Record
    from benchmark.records.record_sections import Dataset

    recorded = []

    def record_run(config: dict, output: Path, *, log: list) -> Run:
        recorded.append((config, output))
        record = Record(
            key="0123abcd",
            status="finished",
            model="Padim",
            dataset=Dataset(name="tiny"),
            metrics={"image_AUROC": 0.75, "pixel_AUROC": None},
        )
        return Run(record, output, None)

    monkeypatch.setattr(benchmark.api.interactive, "record_run", record_run)
    args = ["train", "--config", str(configure(PADIM)), "--model.n_features", "6", "--record", "out"]
    assert main(args) == 0
    ((config, output),) = recorded
    assert output == Path("out")
    first, last = capsys.readouterr().out.splitlines()[-2:]
    assert first.split() == ["image_AUROC", "0.7500"]
    assert "out/record.json" in last
    assert last.endswith("export --run 0123abcd --records out --output model")
    assert config["seed_everything"] == 1
    assert config["model"]["class_path"] == "extensions.Padim"
    assert config["model"]["init_args"]["n_features"] == 6
    assert config["data"]["init_args"]["name"] == "tiny"
    assert config["trainer"]["max_epochs"] == 1
    assert set(config) == {"seed_everything", "model", "data", "trainer"}


@pytest.mark.parametrize(
    ("keys", "options", "words"),
    [
        ({}, ["--record"], "--record DIR"),
        ({"seed_everything": False}, ["--record", "out"], "seed_everything is false"),
        ({"optimizer": {"class_path": "torch.optim.Adam"}}, ["--record=out"], "optimizer"),
    ],
)
def test_run_that_a_record_cannot_hold_is_refused(
    configure: Configure, capsys: pytest.CaptureFixture, keys: dict, options: list[str], words: str
) -> None:
    assert main(["train", "--config", str(configure(**keys)), *options]) == 1
    assert words in capsys.readouterr().err


HELP = """
import runpy, sys
sys.argv = [sys.argv[1], "--help"]
try:
    runpy.run_module(sys.argv[0], run_name="__main__")
except SystemExit:
    pass
assert "torch" not in sys.modules and "pandas" not in sys.modules
"""


@pytest.mark.parametrize(
    ("room", "words"),
    [
        ("extensions", ("train", "test", "predict", "export", "--record", "--ckpt_path")),
        ("extensions.self_supervised", ("fit", "views", "export", "probe")),
        ("extensions.refinement", ("--config", "--review")),
        ("extensions.data", ("check", "sheet")),
        ("benchmark", ("run", "table", "speed", "cache")),
    ],
)
def test_help_waits_for_no_large_library(room: str, words: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", HELP, room]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all(word in shown.stdout for word in words)


def test_command_warns_of_nothing_the_reader_cannot_change(configure: Configure) -> None:
    command = [sys.executable, "-m", "extensions", "train", "--config", str(configure(PADIM)), "--print_config"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert yaml.safe_load(shown.stdout)["model"]["class_path"] == "extensions.Padim"
    assert "Warning" not in shown.stderr
