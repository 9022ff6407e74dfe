"""How a file stores its image, where its 8-bit pixels do not show it: bits that are never used, more pages."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

LOW = 4096  # a 16-bit image whose values all lie below uses the lowest sixteenth of its range
ORIENTATION = 0x0112  # EXIF tag
_PNG = b"\x89PNG\r\n\x1a\n"
_SUBFILE, _BITS, _PHOTOMETRIC, _PLANES = 254, 258, 262, 284  # TIFF tags
_PLAIN_MODES = {"1", "L", "RGB", "CMYK", "YCbCr"}  # any reader converts them to the same RGB


@dataclass(frozen=True, slots=True)
class Stored:
    """What is to be told of a file.

    Attributes:
        largest: Largest value of a 16-bit image that never uses its highest four bits; 0 for any other.
        pages: Images in the file, of which the first is read; previews in reduced size do not count.
        channels: Of a file that only a data set with `channels` or `range` can use; 0 for grey and color.
    """

    largest: int = 0
    pages: int = 1
    channels: int = 0

    @property
    def bits(self) -> int:
        """Bits that the values of a low 16-bit image need, as cameras give them: 8, 10 or 12."""
        return next(bits for bits in (8, 10, 12) if self.largest < 2**bits)


def n_pages(image: Image.Image) -> int:
    """Pages of a TIFF, a WebP or a PNG that was opened and not yet loaded; other images of a JPEG are previews."""
    n_frames = int(getattr(image, "n_frames", 1))
    if n_frames == 1 or image.format not in {"TIFF", "WEBP", "PNG"}:
        return 1
    if image.format != "TIFF":
        return n_frames
    pages = 1
    for page in range(1, n_frames):
        image.seek(page)
        pages += not (_tag(image, _SUBFILE) or 0) & 1
    image.seek(0)
    return pages


def low_value(image: Image.Image, content: bytes) -> int:
    """The largest value of a loaded 16-bit image, grey or color, if it is below 4096; else 0."""
    if image.mode.startswith("I"):
        largest = int(np.asarray(image).max())
    elif is_deep_planar(image) or (_is_deep_color(image, content) and _high_bytes(image) < LOW >> 8):
        pixels = sixteen_bits(content)
        largest = int((pixels[..., :-1] if pixels.shape[-1] in {2, 4} else pixels).max())  # without alpha
    else:
        return 0
    return largest if 0 < largest < LOW else 0


def is_white_at_zero(image: Image.Image) -> bool:
    """Whether a TIFF says that 0 is white and Pillow does not heed it; of 8 bits and fewer it does."""
    return (image.mode.startswith("I") or image.mode == "F") and _tag(image, _PHOTOMETRIC) == 0


def is_deep_planar(image: Image.Image) -> bool:
    """Whether a TIFF has its 16-bit colors one after the other, which Pillow takes for 8-bit ones."""
    return _tag(image, _PLANES) == 2 and _is_deep_color(image, b"")


def is_plain(path: Path) -> bool:
    """Whether any reader gives the same pixels: 8 bits, opaque, not turned. Looks at the header only."""
    try:
        with path.open("rb") as file, Image.open(path) as image:
            is_turned = image.getexif().get(ORIENTATION, 1) != 1
            is_deep = _is_deep_color(image, file.read(32))
            return image.mode in _PLAIN_MODES and not (is_turned or is_deep or image.has_transparency_data)
    except (OSError, ValueError, SyntaxError):
        return False


def sixteen_bits(content: bytes) -> np.ndarray:
    """Pixels (H, W) or (H, W, C) of a PNG or TIFF file as they are stored."""
    import imagecodecs

    pixels: np.ndarray
    if content.startswith(_PNG):
        pixels = imagecodecs.png_decode(content)
        return pixels
    pixels = imagecodecs.tiff_decode(content)
    return np.moveaxis(pixels, 0, -1) if pixels.ndim == 3 and pixels.shape[0] in {3, 4} else pixels


def _high_bytes(image: Image.Image) -> int:
    """The largest of what Pillow reads of 16-bit colors, which is their higher bytes; without alpha."""
    bands = image.getbands()
    pixels = np.asarray(image)
    return int((pixels[..., : bands.index("A")] if "A" in bands else pixels).max())


def _is_deep_color(image: Image.Image, content: bytes) -> bool:
    """Whether an image that Pillow opens as 8-bit color has 16 bits a color in its file."""
    if image.mode.startswith("I") or image.mode == "F":
        return False
    if content.startswith(_PNG):
        return content[24:25] == b"\x10"  # the bit depth in IHDR
    bits = _tag(image, _BITS)
    return isinstance(bits, tuple) and 16 in bits


def _tag(image: Image.Image, number: int) -> Any:
    return getattr(image, "tag_v2", {}).get(number)
