"""Whole jobs that combine the other rooms: the demo, the lecture."""
