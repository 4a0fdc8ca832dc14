"""From examples to batches: split, crop, augment, batch."""
