"""Labelled micrographs as examples and as tf.data streams of crops; drawn micrographs."""
