"""Delivery: journal, store, dispatcher. Nothing is lost, and nobody waits."""

from .dispatcher import Flushed
from .outbox import aflush, flush, shutdown
from .receipt import Receipt

__all__ = ["Flushed", "Receipt", "aflush", "flush", "shutdown"]
