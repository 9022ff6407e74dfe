"""The commands `list` and `readme`."""

import json
import subprocess
import sys

import torch

from extensions.backbones import layer_table
from extensions.backbones.__main__ import main
from extensions.backbones.readme import readme


def listed(capsys) -> dict[str, dict]:
    assert main(["list", "--json"]) == 0
    return {entry["backbone"]: entry for entry in json.loads(capsys.readouterr().out)}


def test_list_says_what_is_here_and_where_the_rest_would_come_from(manifest, folder, capsys):
    torch.save({"a": torch.ones(1)}, folder / "mine.pth")
    manifest(
        "- {name: resnet18.mine, file: mine.pth, layers: [layer1, layer2], license: internal}\n"
        "- {name: resnet18.away, file: away.pth, package: {distribution: some-package==1.0, file: '*.pth'}}\n"
        f"- {{name: resnet18.changed, file: mine.pth, sha256: {'a' * 64}}}\n"
    )
    entries = listed(capsys)
    mine = entries["resnet18.mine"]
    assert (mine["here"], mine["license"]) == ("yes", "internal")
    assert "mine.pth" in mine["source"]
    assert [layer["name"] for layer in mine["layers"] if layer["available"]] == ["layer1", "layer2"]
    assert entries["resnet18.away"]["here"] == "no"
    assert f"away.pth in {folder} or pip install some-package==1.0" in entries["resnet18.away"]["source"]
    assert entries["resnet18.changed"]["here"] == "error"
    assert "a" * 64 in entries["resnet18.changed"]["source"]
    assert (entries["resnet50"]["here"], entries["resnet50"]["source"]) == ("no", "hub timm/resnet50.tv_in1k")
    for name, entry in entries.items():
        assert [(e["name"], e["channels"], e["reduction"]) for e in entry["layers"]] == list(layer_table(name))


def test_table_shows_every_layer_once(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + sum(len(entry["layers"]) for entry in listed(capsys).values())
    start = next(i for i, line in enumerate(lines) if line.startswith("cspdarknet53"))
    assert lines[start + 3].split() == ["stages.2", "256", "8"]


def test_wrong_manifest_is_one_line_and_exit_code_1(manifest, folder, capsys):
    manifest("- {name: resnet18.a}")
    assert main(["list"]) == 1
    error = capsys.readouterr().err.strip()
    assert str(folder / "manifest.yaml") in error
    assert "\n" not in error


def test_readme_is_written_whole(tmp_path, capsys):
    assert main(["readme", "--output", str(tmp_path / "R.md")]) == 0
    assert (tmp_path / "R.md").read_text(encoding="utf-8") == readme()
    assert [path.name for path in tmp_path.glob("*.md*")] == ["R.md"]


def test_help_does_not_wait_for_torch():
    code = (
        "import sys; from extensions.backbones.__main__ import main\n"
        "try: main(['--help'])\nexcept SystemExit: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")
