from .callback import Augmentation as Augmentation
from .named import augmentation as augmentation
from .settings import MERGES as MERGES
from .settings import NAMES as NAMES
from .settings import WHERE as WHERE
from .settings import AugmentationSettings as AugmentationSettings
from .settings import read_augmentation as read_augmentation
