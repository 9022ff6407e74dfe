"""Pretraining carried out: trained, watched, stopped, resumed."""
