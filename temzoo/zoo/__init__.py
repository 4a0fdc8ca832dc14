"""Names to models: cards, shipped weights, ``get_model``."""
