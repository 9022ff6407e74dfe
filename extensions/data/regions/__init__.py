"""Which part of each image is looked at: masks, polygons, the foreground."""
