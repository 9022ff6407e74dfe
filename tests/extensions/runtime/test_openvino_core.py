import subprocess
import sys

import pytest

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


def test_there_is_one_core():
    assert openvino_core() is openvino_core()
