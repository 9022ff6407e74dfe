from benchmark.api.recording import Record as Record

from .data.datamodules import *
from .models import *
from .transforms import Augmentation as Augmentation

def load() -> None: ...
