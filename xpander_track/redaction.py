"""Takes secrets out of captured text, before it is kept anywhere."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

REDACTED = "[redacted]"

# Names whose values are secrets as a whole, as parts of snake_case, kebab-case and camelCase names.
_SECRET_NAME = re.compile(
    r"passw(or)?d|passphrase|secret|credential|authorization|private_?key|api_?key|access_?key|cookie"
    r"|(access|auth|refresh|bearer|session|id|api|csrf)_?token$"
)
# A bare "token" is a secret only if it looks like one: models speak of tokens all the time.
_TOKEN_NAME = "token"  # noqa: S105  # a name, not a token
_TOKEN_VALUE = re.compile(r"\S{16,}")

# Keys by the shapes that their issuers document; each has a literal to look for first, which is far quicker.
_SHAPES = {
    "sk-": r"\bsk-[A-Za-z0-9_-]{16,}",  # OpenAI, Anthropic, OpenRouter, ...
    "AKIA": r"\bAKIA[0-9A-Z]{16}\b",  # AWS access key id
    "gh": r"\bgh[pousr]_[A-Za-z0-9]{20,}",  # GitHub
    "github_pat_": r"\bgithub_pat_[A-Za-z0-9_]{20,}",
    "xox": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",  # Slack
    "AIza": r"\bAIza[0-9A-Za-z_-]{35}",  # Google
    "eyJ": r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+",  # JSON Web Token
    "earer": r"\b[Bb]earer\s+[A-Za-z0-9._~+/-]{16,}=*",  # RFC 6750
    "PRIVATE KEY": r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    "://": r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)",  # user:password@ in a URL
}
_PATTERNS = [(hint, re.compile(shape, re.DOTALL)) for hint, shape in _SHAPES.items()]

# The platform's keys that this process has used: they are taken out wherever they turn up.
_keys: set[str] = set()
_MIN_KEY = 6


def keep_out(key: str | None) -> None:
    """From now on take *key* out of everything captured."""
    if key and len(key) >= _MIN_KEY:
        _keys.add(key)


class Redaction:
    """
    What to take out: known keys, values under secret names, texts shaped like keys, and what the user's hook says.

    Args:
        hook: The user's own function of a text. If it fails, the text is dropped, never kept as it was.
    """

    __slots__ = ("hook",)

    def __init__(self, hook: Callable[[str], str] | None = None) -> None:
        self.hook = hook

    def text(self, text: str) -> str:
        """*text* without the secrets in it."""
        for key in _keys:
            if key in text:
                text = text.replace(key, REDACTED)
        for hint, pattern in _PATTERNS:
            if hint in text:
                text = pattern.sub(REDACTED, text)
        return text if self.hook is None else self._hooked(text, self.hook)

    def hides(self, name: str, value: object) -> bool:
        """Whether *value*, which stands under *name*, is a secret as a whole. Numbers are not."""
        if value is None or isinstance(value, (bool, int, float)):
            return False
        if name.lower() == _TOKEN_NAME:
            return isinstance(value, str) and _TOKEN_VALUE.fullmatch(value) is not None
        return _is_secret(name)

    def _hooked(self, text: str, hook: Callable[[str], object]) -> str:
        try:
            redacted = hook(text)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  # user code
            return f"[dropped: the redact function raised {type(error).__name__}]"
        if not isinstance(redacted, str):
            return f"[dropped: the redact function gave a {type(redacted).__name__}, not a text]"
        return redacted


@functools.lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace("-", "_")
    return _SECRET_NAME.search(snake) is not None
