"""Whole jobs that combine the other rooms: folders of images, the demo, the lecture."""
