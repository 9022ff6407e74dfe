import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import extensions
from extensions.runtime.openvino_core import openvino_core

# Two networks are freed in the order in which they were made; then a signal comes.
CODE = """
import gc, signal, numpy as np, openvino
from openvino import opset13
from extensions.runtime.openvino_core import openvino_core
def compiled():
    parameter = opset13.parameter([1, 3], np.float32)
    return openvino_core().compile_model(openvino.Model([opset13.relu(parameter)], [parameter]), "CPU")
came = []
signal.signal(signal.SIGUSR1, lambda *_: came.append(1))
first, second = compiled(), compiled()
del first
gc.collect()
del second
gc.collect()
signal.raise_signal(signal.SIGUSR1)
print(came)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="signal stacks are changed on Linux only")
def test_signals_are_handled_when_networks_are_gone():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[1]\n"), done.stderr


def test_all_of_this_project_has_its_one_core_from_here():
    root = Path(extensions.__file__).parents[1]
    files = [file for room in ("benchmark", "extensions", "inference") for file in (root / room).rglob("*.py")]
    makers = [file.name for file in files if re.search(r"\bCore\(", file.read_text(encoding="utf-8"))]
    assert makers == ["openvino_core.py"]
    with ThreadPoolExecutor(2) as pool:
        assert {id(core) for core in pool.map(lambda _: openvino_core(), range(2))} == {id(openvino_core())}
