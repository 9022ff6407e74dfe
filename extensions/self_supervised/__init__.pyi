from .images.image_folders import ImageFolders as ImageFolders
from .methods.byol import Byol as Byol
from .methods.method import Method as Method
from .methods.position import RelativePosition as RelativePosition
from .methods.simclr import SimCLR as SimCLR
from .methods.simsiam import SimSiam as SimSiam
from .methods.supervised import Supervised as Supervised
from .methods.triplet import Triplet as Triplet
