"""From a pretrained encoder to a backbone that models take by name."""

import json

import pytest
import torch
import yaml

import extensions
from extensions.configuration import ConfigError
from extensions.self_supervised.__main__ import main
from extensions.self_supervised.export.weights_file import export
from extensions.self_supervised.fit.pretraining import ENCODER, RECORD, pretrain


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, parts):
    """Folder of a finished pretraining; never changed by a test."""
    from pathlib import Path

    from extensions.self_supervised.fit.pretraining import read_pretraining

    folder = tmp_path_factory.mktemp("pretrained")
    config = {
        "model": {"class_path": "extensions.self_supervised.SimCLR", "init_args": {"backbone": "resnet18"}},
        "data": {
            "class_path": "extensions.self_supervised.ImageFolders",
            "init_args": {"folders": [str(parts)], "image_size": 32, "batch_size": 4, "num_workers": 0},
        },
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False},
        "export": {"tag": "made_parts", "license": "CC0-1.0"},
    }
    pretrain(read_pretraining(config, Path("parts.yaml")), folder)
    (folder / "parts.yaml").write_text(json.dumps(config))
    return folder


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """The weights folder, with a manifest that has a comment and a row of its own."""
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "manifest.yaml").write_text("# Mine.\n\n- name: resnet34\n  hub: tv_in1k\n", encoding="utf-8")
    monkeypatch.setenv("WORKBENCH_WEIGHTS", str(folder))
    return folder


def test_an_exported_encoder_is_a_backbone_by_name(pretrained, weights, capsys):
    config = pretrained / "parts.yaml"
    assert main(["export", "--config", str(config), "--output", str(pretrained)]) == 0
    assert "backbone: resnet18.made_parts" in capsys.readouterr().out

    from safetensors.torch import load_file

    model = extensions.Patchcore("resnet18.made_parts", layers=["layer2", "layer4"], image_size=64, evaluator=False)
    model.setup("fit")
    found = model.model.feature_extractor.feature_extractor.state_dict()
    source = load_file(pretrained / ENCODER)
    shared = [key for key in source if key in found]
    assert {key.split(".")[0] for key in shared} >= {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}
    for key in shared:
        torch.testing.assert_close(found[key], source[key], atol=1e-3, rtol=1e-3)


def test_other_weights_of_a_name_are_replaced_only_when_asked_for(pretrained, weights):
    arguments = {"tag": "a", "license": "", "config": pretrained / "parts.yaml"}
    file = export(pretrained, **arguments)
    export(pretrained, **arguments)  # the same ones
    before = file.read_bytes(), (weights / "manifest.yaml").read_text()
    with pytest.raises(ConfigError, match=r"resnet18\.a\.safetensors: there are other weights.*--replace"):
        export(pretrained, **arguments, half=False)
    assert (file.read_bytes(), (weights / "manifest.yaml").read_text()) == before
    export(pretrained, **arguments, half=False, replace=True)
    assert file.stat().st_size > 1.9 * len(before[0])


def test_other_rows_and_comments_stay_and_a_second_export_has_its_row_only(pretrained, weights):
    for license in ("CC0-1.0", "MIT"):
        export(pretrained, tag="a", license=license, config=pretrained / "parts.yaml")
    manifest = weights / "manifest.yaml"
    manifest.write_text(manifest.read_text().replace("- name: resnet18.a", '- "name": "resnet18.a"'))
    export(pretrained, tag="a", license="MIT", config=pretrained / "parts.yaml")
    text = manifest.read_text()
    assert text.startswith("# Mine.")
    rows = yaml.safe_load(text)
    assert [row["name"] for row in rows] == ["resnet34", "resnet18.a"]
    assert rows[1]["license"] == "MIT"
    assert "SimCLR on 12 images (spots 6, stripes 6" in rows[1]["how_made"]


def test_the_manifest_names_what_was_changed_on_the_command_line(pretrained, weights):
    config = json.loads((pretrained / "parts.yaml").read_text())
    config["model"]["init_args"] |= {"backbone": "resnet34"}
    config["trainer"] |= {"max_epochs": 9}
    other = weights / "other.yaml"
    other.write_text(json.dumps(config))
    export(pretrained, tag="a", license="", config=other)
    command = yaml.safe_load((weights / "manifest.yaml").read_text())[1]["how_made"]
    assert command.endswith("other.yaml --set model.init_args.backbone=resnet18 --set trainer.max_epochs=1")


def test_half_precision_is_half_the_size_and_statistics_stay_exact(pretrained, weights):
    from safetensors.torch import load_file

    whole = export(pretrained, tag="whole", license="", config=pretrained / "parts.yaml", half=False)
    half = export(pretrained, tag="half", license="", config=pretrained / "parts.yaml")
    assert half.stat().st_size < 0.52 * whole.stat().st_size
    stored, source = load_file(half), load_file(pretrained / ENCODER)
    assert stored["conv1.weight"].dtype == torch.float16
    assert torch.equal(stored["bn1.running_var"], source["bn1.running_var"])
    assert torch.equal(load_file(whole)["conv1.weight"], source["conv1.weight"])


@pytest.mark.parametrize("tag", ["", "a b", "../up", "a.b"])
def test_a_tag_is_a_word(tag, pretrained, weights):
    with pytest.raises(ConfigError, match="expected letters, digits"):
        export(pretrained, tag=tag, license="", config=pretrained / "parts.yaml")
    assert sorted(path.name for path in weights.iterdir()) == ["manifest.yaml"]


def test_what_is_not_finished_changed_or_collapsed_is_no_backbone(pretrained, weights, tmp_path):
    arguments = {"tag": "a", "license": "", "config": tmp_path / "c.yaml"}
    with pytest.raises(ConfigError, match="finish the pretraining first"):
        export(tmp_path, **arguments)
    record = json.loads((pretrained / RECORD).read_text())
    (tmp_path / ENCODER).write_bytes((pretrained / ENCODER).read_bytes())
    (tmp_path / RECORD).write_text(json.dumps(record | {"collapsed_at": 3}))
    with pytest.raises(ConfigError, match="collapsed in epoch 3"):
        export(tmp_path, **arguments)
    (tmp_path / RECORD).write_text(json.dumps(record | {"encoder_sha256": "0" * 64}))
    with pytest.raises(ConfigError, match="is not the one"):
        export(tmp_path, **arguments)
    for broken in ([1], {key: value for key, value in record.items() if key != "normalization"}):
        (tmp_path / RECORD).write_text(json.dumps(broken))
        with pytest.raises(ConfigError, match="cannot be read"):
            export(tmp_path, **arguments)
    (tmp_path / ENCODER).write_bytes(b"cut off")
    with pytest.raises(ConfigError, match="cannot be read"):
        export(tmp_path, **arguments)
    assert sorted(path.name for path in weights.iterdir()) == ["manifest.yaml"]


def test_the_command_needs_a_tag(pretrained, weights, tmp_path, capsys):
    config = tmp_path / "c.yaml"
    config.write_text("export: {license: MIT}\n")
    assert main(["export", "--config", str(config), "--output", str(pretrained)]) == 1
    assert "expected {tag: NAME" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"tag": None}, "export.tag is None"),
        ({"half": "maybe"}, "export.half is 'maybe'"),
        ({"license": ["a"]}, "license"),
    ],
)
def test_what_the_command_exports_by_has_its_type(changed, expected, pretrained, weights, tmp_path, capsys):
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps({"export": {"tag": "a"} | changed}))
    assert main(["export", "--config", str(config), "--output", str(pretrained)]) == 1
    assert expected in capsys.readouterr().err
    assert sorted(path.name for path in weights.iterdir()) == ["manifest.yaml"]
