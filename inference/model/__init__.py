"""A model on the line as an object: exported or from a checkpoint, images in, scores and maps out."""
