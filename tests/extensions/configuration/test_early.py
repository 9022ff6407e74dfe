import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from extensions.configuration import ConfigError, early
from extensions.configuration.classes import known_classes
from extensions.configuration.components import checked_spec
from extensions.configuration.early import TRAINER, check_spec_names, check_trainer_names, class_path_of, listed_classes
from extensions.configuration.errors import argument_names
from extensions.configuration.signatures import find_class, parameter_names
from extensions.configuration.trainer import check_trainer


@pytest.fixture
def not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are checked as in a process that has not imported anomalib yet."""
    monkeypatch.setattr(early, "is_early", lambda: True)


@pytest.mark.parametrize("role", ["model", "data"])
def test_the_sources_list_the_classes_that_an_import_finds(role: str) -> None:
    assert listed_classes(role) == known_classes(role)
    assert {name: class_path_of(name, role) for name in known_classes(role)} == known_classes(role)


@pytest.mark.parametrize("role", ["model", "data"])
def test_the_sources_name_every_argument_that_an_import_finds(role: str) -> None:
    for path in known_classes(role).values():
        read, found = parameter_names(early._source(path, role)), set(argument_names(path))
        assert read is None or read >= found, path
        if role == "model" and path.startswith("extensions."):
            assert read == found, path


def test_the_sources_name_what_the_trainer_takes() -> None:
    known = parameter_names(TRAINER)
    assert known is not None
    assert known == set(argument_names("lightning.pytorch.Trainer"))


@pytest.mark.parametrize(
    ("role", "spec"),
    [
        ("model", "Padm"),
        ("model", {"class_path": "extensions.Padm"}),
        ("model", {"class_path": "anomalib.models.Padm"}),
        ("data", {"class_path": "Foldr"}),
    ],
)
def test_an_unknown_class_is_told_as_after_the_import(not_imported: None, role: str, spec: dict | str) -> None:
    with pytest.raises(ConfigError) as told:
        check_spec_names(spec, role)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ConfigError) as told_later:
        patch.setattr(early, "is_early", lambda: False)
        checked_spec(spec, role)
    assert str(told.value) == str(told_later.value)


def test_an_unknown_argument_is_told_with_the_nearest(not_imported: None) -> None:
    with pytest.raises(ConfigError, match=r"model: extensions\.Padim has no argument 'n_featurs'; did you mean n_feat"):
        check_spec_names({"class_path": "Padim", "init_args": {"n_featurs": 3}}, "model")
    with pytest.raises(ConfigError) as told:
        check_trainer_names({"max_epoch": 1})
    with pytest.raises(ConfigError) as told_later:
        check_trainer({"max_epoch": 1})
    assert str(told.value) == str(told_later.value)


@pytest.mark.parametrize(
    "spec",
    [
        "mine.Model",
        {"class_path": "mine.Model", "init_args": {"anything": 1}},
        {"class_path": "extensions.Padim", "init_args": {"n_features": 3}, "dict_kwargs": {"a": 1}},
        {"class_path": "anomalib.models.AiVad", "init_args": {"a": 1}},  # a parent of it is not found: not sure
        {"class_path": 3},
        None,
    ],
)
def test_what_is_not_sure_is_left_to_the_full_check(not_imported: None, spec: object) -> None:
    check_spec_names(spec, "model")


def test_a_class_that_is_passed_on_is_found_where_it_is_defined() -> None:
    found = find_class("extensions.models.Padim")
    assert found is not None
    assert found.module == "extensions.models.padim.lightning_model"
    assert "AnomalibModule" in found.ancestors()
    assert find_class("extensions.models.Nothing") is None
    assert find_class("no_such_package.Nothing") is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"modls": 1}, "did you mean models?"),
        ({"trainer": {"max_epoch": 1}}, "trainer: unknown argument 'max_epoch'"),
        ({"models": [{"class_path": "extensions.Padm"}]}, "did you mean extensions.Padim"),
        ({"models": [{"class_path": "Padim", "init_args": {"n_featurs": 1}}]}, "did you mean n_features?"),
        ({"data": [{"class_path": "Folder", "init_args": {"nam": "a"}}]}, "did you mean name"),
    ],
)
def test_a_grid_with_a_wrong_name_is_refused_before_torch_is_imported(tmp_path: Path, change: dict, words: str) -> None:
    file = tmp_path / "grid.yaml"
    grid = {"models": [{"class_path": "Padim"}], "data": [{"class_path": "Folder", "init_args": {"name": "a"}}]}
    file.write_text(yaml.safe_dump(grid | change))
    code = (
        "import sys; from benchmark.__main__ import main; "
        f"code = main(['run', '--config', {str(file)!r}]); "
        "sys.exit(99 if 'torch' in sys.modules else code)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    assert words in ended.stderr
