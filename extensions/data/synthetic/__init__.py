"""Defects drawn on good images, and whole data sets of them."""
