"""Autoencoder with a one-class SVM on its latents."""
