"""What notebooks and the trainer call: one run at a time, as an object."""
