"""How well frozen features tell classes apart."""
