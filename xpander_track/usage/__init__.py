"""Reads token usage, tool calls and text off any provider's or framework's response, importing none of them."""

from .read import read, read_usage
from .tally import Tally
from .usage import Usage

__all__ = ["Tally", "Usage", "read", "read_usage"]
