"""Labelled shapes as pixels, and pixels as shapes."""
