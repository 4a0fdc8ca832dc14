"""A model behind TensorFlow Serving, used like one that is here.

``connect`` asks the server what it serves and returns an object that ``temzoo.predict`` (or
``temzoo.restore``) takes in place of a model. The micrograph is tiled, normalised by the statistics
of the whole and put together again on this side; the server is sent normalised float32 tiles, so
what comes out equals what the model itself would give.

    address.py     grpc://host:port/NAME and http://host:port/NAME, taken apart
    failures.py    what a server's errors mean: try again, send less, or tell the user
    line.py        how many requests at once, how often, and how large
    transports.py  the two questions, what do you serve and what do you say to these tiles, by gRPC
                   and by REST
    model.py       ``connect`` and what it returns
"""

from temzoo.deploy.serving.model import ServedDetector, ServedModel, connect

__all__ = ["ServedDetector", "ServedModel", "connect"]
