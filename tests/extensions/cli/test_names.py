import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from extensions.cli import UsageError, WorkbenchCLI
from extensions.cli.arguments import TRAINING_KEYS
from extensions.cli.names import KEYS, OPTIONS, check_names
from extensions.configuration import ConfigError, early
from extensions.configuration.early import TRAINER
from extensions.configuration.signatures import parameter_names

PADIM = ["--config", "configs/models/padim.yaml"]


@pytest.fixture
def not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are checked as in a process that has not imported anomalib yet."""
    monkeypatch.setattr(early, "is_early", lambda: True)


def test_keys_and_options_are_those_of_the_full_parser() -> None:
    parsers = WorkbenchCLI(["train", *PADIM], build=False).subcommand_parsers
    for subcommand, keys in KEYS.items():
        parser = parsers[subcommand]
        options = {option for action in parser._actions for option in action.option_strings if option[:2] == "--"}
        taken = {option.removeprefix("--").partition(".")[0] for option in options}
        assert taken | {"data-root"} == {*keys, *OPTIONS}, subcommand
        assert {key.partition(".")[0] for key in vars(parser.get_defaults())} == set(keys), subcommand
        found = {option.split(".")[1].removesuffix("+") for option in options if option.startswith("--trainer.")}
        assert found - {"help"} <= parameter_names(TRAINER), subcommand


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["train", *PADIM, "--nonsense", "3"], "Unrecognized arguments: --nonsense 3"),
        (["train", "--config"], "expected one argument"),
        (["train", *PADIM, "--trainer.max_epoch", "3"], "no option --trainer.max_epoch; .* --trainer.max_epochs"),
        (["train", "--trainer.max_epoch=3"], "no option --trainer.max_epoch; .* --trainer.max_epochs"),
        (
            ["fit", "--trainer.callback+=EarlyStopping"],
            "no option --trainer.callback; did you mean --trainer.callbacks",
        ),
        (["train", "--model.n_features", "3"], "--model.n_features: no class is named that takes it"),
        (["train", "--model", "Padim", "--data.nam=x"], "--data.nam: no class is named that takes it"),
    ],
)
def test_a_wrong_option_is_a_usage_error(not_imported: None, args: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_names(args)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["train", "--config", "configs/models/padm.yaml"], "no such config file; did you mean"),
        (["test", *PADIM, "--model.n_featurs=3"], "extensions.Padim has no argument 'n_featurs'; did you mean n_feat"),
        (["test", "--model", "Padim", "--model.init_args.n_featurs", "3"], "extensions.Padim has no argument"),
        (["train", *PADIM, "--data.nam", "x"], "extensions.Elpv has no argument 'nam'"),
        (["predict", *PADIM, "--data.nam", "x"], "extensions.Elpv has no argument 'nam'"),
        (["test", *PADIM, "--ckpt_path", "no.ckpt"], "--ckpt_path no.ckpt: there is no such file"),
        (["train", "--model=Padm"], "there is no class 'Padm'; did you mean extensions.Padim"),
        (["fit", *PADIM, "--data", "Foldr"], "there is no class 'Foldr'; did you mean extensions.Folder"),
    ],
)
def test_a_wrong_name_on_the_command_line_is_told(not_imported: None, args: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_names(args)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"modl": 1}, "unknown key 'modl'; did you mean model?"),
        ({"trainer": {"max_epoch": 1}}, "unknown key 'trainer.max_epoch'; did you mean trainer.max_epochs"),
        ({"model": "Padm"}, "there is no class 'Padm'"),
        ({"model": {"class_path": "Padim", "init_args": {"n_featurs": 1}}}, "did you mean n_features?"),
        ({"data": {"class_path": "Folder", "init_args": {"nam": "a"}}}, "did you mean name"),
    ],
)
def test_a_wrong_name_in_a_config_is_told_before_torch_is_imported(tmp_path: Path, change: dict, words: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(Path(PADIM[1]).read_text()) | change))
    code = (
        "import sys; from extensions.workbench.__main__ import main; "
        f"code = main(['train', '--config', {str(file)!r}]); "
        "sys.exit(99 if 'torch' in sys.modules else code)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.startswith(f"error: {file}: ")
    assert words in ended.stderr


@pytest.mark.parametrize(
    "args",
    [
        *(["train", "--config", str(file)] for file in sorted(Path("configs/models").rglob("*.yaml"))),
        ["train", *PADIM, "--model.n_features", "5", "--trainer.max_epochs=3", "--ckpt", "last", "--data-root", "x"],
        ["train", *PADIM, "--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=a", "--print_config"],
        ["train", "--model", "mine.Model", "--model.anything", "3", "--model.help", "--seed_everything", "-1"],
        ["train", "--model", "Padim", *PADIM, "--model.init_args", "{}"],
        ["predict", *PADIM, "--data", "images"],
        ["test", *PADIM, "--ckpt_path", "best"],
        ["train", "--model.help", "Padim", "--data.init_args.root", "x", "--config", "{data: extensions.Folder}"],
        ["train", "--config", "{model: Padm}", "--", "--nonsense"],
    ],
    ids=" ".join,
)
def test_what_is_right_or_not_sure_passes(not_imported: None, args: list[str]) -> None:
    check_names(args)


def test_a_config_that_trained_serves_to_predict(not_imported: None, tmp_path: Path) -> None:
    file = tmp_path / "trained.yaml"
    file.write_text(yaml.safe_dump({"model": {"class_path": "Padim"}} | {key: {} for key in TRAINING_KEYS}))
    check_names(["predict", "--config", str(file)])


def test_a_shortened_trainer_option_is_refused_before_torch_is_imported() -> None:
    code = (
        "import sys; from extensions.workbench.__main__ import main; "
        f"code = main(['train', '--config', {PADIM[1]!r}, '--trainer.max_epoch', '3']); "
        "sys.exit(99 if 'torch' in sys.modules else code)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended.stderr
    assert "did you mean --trainer.max_epochs" in ended.stderr
