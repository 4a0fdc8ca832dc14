"""One module a kind of model: what it learns from, how it is judged, what it answers.

``temzoo.Task`` is the interface; ``temzoo.register_task`` makes a kind of one's own known.
"""
