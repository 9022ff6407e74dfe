"""The flat exports: what `class_path: extensions.Patchcore` relies on."""

import subprocess
import sys

import pytest

import extensions


def test_import_takes_nothing_that_is_large():
    code = "import sys; before = {*sys.modules}; import extensions; print(*{*sys.modules} - before)"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    imported = {name.partition(".")[0] for name in output.split()}
    assert imported - sys.stdlib_module_names == {"extensions", "lazy_loader"}


def test_every_export_is_listed_and_is_the_class_of_that_name():
    for name in extensions.__all__:
        assert name in dir(extensions)
        assert getattr(extensions, name).__name__ == name


def test_load_imports_every_export():
    code = "import extensions; extensions.load(); print(all(name in vars(extensions) for name in extensions.__all__))"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.strip().endswith("True")


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Patchcoer"):
        extensions.Patchcoer  # noqa: B018


def test_jsonargparse_resolves_the_flat_path():
    from anomalib.models import AnomalibModule
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(AnomalibModule, "model")
    config = parser.parse_object({"model": {"class_path": "extensions.Padim", "init_args": {"pre_trained": False}}})
    assert config.model.class_path == "extensions.Padim"
    assert isinstance(parser.instantiate_classes(config).model, extensions.Padim)
