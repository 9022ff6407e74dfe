"""STFPM with a contrastive head."""
