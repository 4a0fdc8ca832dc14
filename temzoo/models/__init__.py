"""One architecture a file; ``layers`` holds what two of them share."""
