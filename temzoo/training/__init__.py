"""Training runs: settings to weights, with all that is needed to repeat or resume them."""
