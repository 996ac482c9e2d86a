"""Reads token usage, tool calls and text off a provider's response, importing none of the providers."""

from .read import extract_usage
from .tally import Tally
from .usage import Usage

__all__ = ["Tally", "Usage", "extract_usage"]
