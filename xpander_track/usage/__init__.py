"""Reads token usage, tool calls and text off any provider's or framework's response, importing none of them."""

from .chunks import Chunks
from .read import read, read_usage
from .tally import Tally
from .usage import Usage

__all__ = ["Chunks", "Tally", "Usage", "read", "read_usage"]
