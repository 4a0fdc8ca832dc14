"""From predictions back to labels: to correct, to choose what to label next, and in CVAT."""
