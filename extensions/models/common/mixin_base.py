"""What the mix-ins for anomalib models subclass."""

from typing import TYPE_CHECKING

# Nothing at run time: anomalib takes every direct subclass of its own for a model and would list the mix-in.
if TYPE_CHECKING:
    from anomalib.models import AnomalibModule as MixinBase
else:
    MixinBase = object
