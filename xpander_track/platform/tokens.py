"""Token counts as the platform keeps them."""

from __future__ import annotations

from pydantic import BaseModel, computed_field


class Tokens(BaseModel):
    """
    Tokens that a run has used. ``None`` is "not reported", 0 is "none".

    Prompt tokens are taken as the provider says them: for some (OpenAI) they include what was read from the cache,
    for others (Anthropic) they do not. Cache counts stand beside and are never part of ``total_tokens``. Unknown
    keywords, and a given total, are ignored.

    Raises:
        ValidationError: A ``ValueError``; a count that is not a whole number.
    """

    completion_tokens: int | None = 0
    prompt_tokens: int | None = 0
    cache_read_tokens: int | None = 0
    cache_write_tokens: int | None = 0

    @computed_field  # type: ignore[prop-decorator]  # mypy has no support for decorated properties
    @property
    def total_tokens(self) -> int:
        """Completion plus prompt tokens; what was not reported counts as 0."""
        return (self.completion_tokens or 0) + (self.prompt_tokens or 0)
