"""The example of docs/labels.md runs as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from extensions.data.__main__ import main

GUIDE = Path(__file__).parents[4] / "docs" / "labels.md"


def test_the_example_of_the_guide_says_what_stands_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(\w*)\n(.*?)```", GUIDE.read_text(encoding="utf-8").split("## Example")[1], re.DOTALL)
    kinds = dict(blocks)
    exec(kinds["python"], {})
    Path("plates.yaml").write_text(kinds["yaml"])
    assert main(shlex.split(kinds[""])[1:]) == 0
    said = capsys.readouterr().out.splitlines()
    *counts, last = kinds["text"].splitlines()
    assert said[:-1] == counts
    assert said[-1].split("; next")[0] == last
    expected = np.zeros((48, 64), np.uint8)
    expected[10:20, 10:30] = 255
    expected[:20, 2:4] = 255
    np.testing.assert_array_equal(np.asarray(Image.open("plates/masks/4_mask.png")), expected)
    assert main(["check", "--config", "plates.yaml", "--set", "data.init_args.mask_dir=masks"]) == 0
