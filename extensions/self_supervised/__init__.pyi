from .images.image_folders import ImageFolders as ImageFolders
from .methods.method import Method as Method
from .methods.position import RelativePosition as RelativePosition
from .methods.registration import Registration as Registration
from .methods.simclr import SimCLR as SimCLR
from .methods.supervised import Supervised as Supervised
from .methods.triplet import Triplet as Triplet
