"""From a file to pixels: images as 8-bit RGB, masks as zeros and ones."""
