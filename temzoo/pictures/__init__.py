"""Overlays, sheets and plots. They draw what was computed elsewhere."""
