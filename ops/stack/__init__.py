"""The local stack: real Kafka, PostgreSQL and Redis for tests, demo and development, unprepared."""

from ops.stack.addresses import Addresses
from ops.stack.errors import StackError
from ops.stack.kinds import Standing
from ops.stack.local import LocalServer, LocalStack
from ops.stack.resolve import address_of, ensure_up, project_stack

__all__ = [
    "Addresses",
    "LocalServer",
    "LocalStack",
    "StackError",
    "Standing",
    "address_of",
    "ensure_up",
    "project_stack",
]
