"""Takes secrets out of captured text, before it is kept anywhere."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from .card_numbers import hide_card_numbers
from .plain import REDACTED

if TYPE_CHECKING:
    from collections.abc import Callable

# Names whose values are secrets as a whole, as parts of snake_case, kebab-case and camelCase names.
_SECRETS = (  # names, not secrets
    "passw(?:or)?d|passphrase|pwd|secret|credential|authorization|private_?key|api_?key|access_?key|cookie"
    "|card_?number|(?<![a-z])(?:cvv|cvc|ssn)(?![a-z])"
    "|(?:access|auth|refresh|bearer|session|id|api|csrf)_?tokens?(?![a-z])"
)
_SECRET_NAME = re.compile(_SECRETS)
# Any other "token" is a secret only if it looks like one: models speak of tokens all the time.
_TOKEN_NAME = re.compile(r"(^|_)token$")
_TOKEN_VALUE = re.compile(r"(?=\S*[0-9])(?=\S*[A-Za-z])\S{8,}")
# The end of such a name in a text. Bounded: else a text of nothing but such names took forever.
_NAMED = rf"(?:{_SECRETS.replace('_?', '[_-]?')})[\w-]{{0,40}}"
# In the repr of an object: name='value', 'name': 'value', ('name', 'value').
_SECRET_IN_REPR = re.compile(
    rf"""({_NAMED}(?:['"]?\s{{0,8}}[=:]|['"],(?=\s?b?(?:'[^']*'|"[^"]*")\)))\s{{0,8}}(?:(?:basic|bearer|digest|token)\s+)?)"""
    rf"""(?!\{REDACTED})(b?'[^']*'|b?"[^"]*"|[\[({{][^\])}}]*|[^\s,)}}\]]+)""",
    re.IGNORECASE,
)

# Keys by the shapes that their issuers document, each by the letters that it begins with and the rest.
_SHAPES = [
    ("sk-", r"[A-Za-z0-9_-]{16,}"),  # OpenAI, Anthropic, OpenRouter, ...
    ("sk_live_", r"[A-Za-z0-9]{16,}"),  # Stripe
    ("rk_live_", r"[A-Za-z0-9]{16,}"),
    ("AKIA", r"[0-9A-Z]{16}\b"),  # AWS access key id
    ("gh", r"[pousr]_[A-Za-z0-9]{20,}"),  # GitHub
    ("github_pat_", r"[A-Za-z0-9_]{20,}"),
    ("glpat-", r"[A-Za-z0-9_-]{20,}"),  # GitLab
    ("xox", r"[abprs]-[A-Za-z0-9-]{10,}"),  # Slack
    ("AIza", r"[0-9A-Za-z_-]{35}"),  # Google
    ("hf_", r"[A-Za-z0-9]{30,}"),  # Hugging Face
    ("gsk_", r"[A-Za-z0-9]{20,}"),  # Groq
    ("eyJ", r"[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),  # JSON Web Token
    ("Bearer", r"\s+[A-Za-z0-9._~+/-]{16,}=*"),  # RFC 6750
    ("bearer", r"\s+[A-Za-z0-9._~+/-]{16,}=*"),
    ("-----BEGIN", r" [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
]
# They begin where a word does. That is looked at after the letters: so the search is one for letters, which is fifty
# times quicker. A word with a hyphen would be searched again from each hyphen on, so there they begin after none.
_PATTERNS = [(head, re.compile(rf"{head}(?<![\w-]{'.' * len(head)}){rest}", re.DOTALL)) for head, rest in _SHAPES]
# In a short text it is quicker still to look for the letters first; in a very short one there is no key.
_SHORT, _SHORTEST = 1000, 16
_LOGIN = re.compile(r"://[^/\s:@]*:[^/\s@]+@")  # user:password@ in a URL; Redis has no user

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
        defaults: Whether names and shapes are looked at. The platform's keys never stay.
    """

    __slots__ = ("defaults", "hook")

    def __init__(self, hook: Callable[[str], str] | None = None, *, defaults: bool = True) -> None:
        self.hook = hook
        self.defaults = defaults

    def text(self, text: str) -> str:
        """*text* without the secrets in it."""
        for key in _keys:
            if key in text:
                text = text.replace(key, REDACTED)
        if self.defaults:
            text = _without_secrets(text)
        return text if self.hook is None else self._hooked(text, self.hook)

    def hides(self, name: str, value: object) -> bool:
        """Whether *value*, which stands under *name*, is a secret as a whole. Numbers are not."""
        if not self.defaults or value is None or issubclass(type(value), (bool, int, float)):
            return False
        secret = _is_secret(name)
        if secret is None:
            return type(value) is str and _TOKEN_VALUE.fullmatch(value) is not None
        return secret

    def representation(self, text: str) -> str:
        """The ``repr`` of an object without what stands in it under the name of a secret."""
        return _SECRET_IN_REPR.sub(rf"\1{REDACTED}", text) if self.defaults else text

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
def _is_secret(name: str) -> bool | None:
    """Whether *name* is that of a secret; None: it depends on the value."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace("-", "_")
    if _SECRET_NAME.search(snake):
        return True
    return None if _TOKEN_NAME.search(snake) else False


def _without_secrets(text: str) -> str:
    is_long = len(text) > _SHORT
    for head, pattern in _PATTERNS if len(text) >= _SHORTEST else ():
        if is_long or head in text:
            text = pattern.sub(REDACTED, text)
    if "://" in text:
        text = _LOGIN.sub(f"://{REDACTED}@", text)
    return hide_card_numbers(text, REDACTED)
