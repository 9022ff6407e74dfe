from .checks.data_check import check_dataset as check_dataset
from .checks.fingerprints import Fingerprint as Fingerprint
from .checks.fingerprints import fingerprint as fingerprint
from .errors import DatasetError as DatasetError
from .errors import DatasetMissingError as DatasetMissingError
from .reading.image_files import read_image as read_image
from .reading.image_files import read_mask as read_mask
