"""Ways of pretraining: one file each."""
