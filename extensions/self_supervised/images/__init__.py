"""The images that a pretraining learns from."""
