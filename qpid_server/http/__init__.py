"""What a browser, a load balancer and Prometheus can ask a broker: `--http-port`.

`/health` and `/ready` answer everybody; what tells of queues and connections asks for a user's name and password where
the broker does.
"""

from .server import HttpServer

__all__ = ["HttpServer"]
