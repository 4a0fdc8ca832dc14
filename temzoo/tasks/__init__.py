"""What a kind of model is trained on, judged by, and decoded to."""
