"""What tests from outside share: the program started on a free port, and plain requests to it."""
from .server import Server, free_port
from .http import Reply, StreamReader, raw, request
from .probe import disconnect_at_random, metric, wait_for

__all__ = ["Server", "free_port", "Reply", "StreamReader", "raw", "request",
           "disconnect_at_random", "metric", "wait_for"]
