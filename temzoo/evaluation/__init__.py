"""Predictions against labels: figures with intervals, baselines, the best setting for instances."""
