"""Micrographs of any size to predictions: tiles, regions, detected objects. Writes no file."""
