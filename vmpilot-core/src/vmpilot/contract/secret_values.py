"""Decides which values to mask: not placeholders for unneeded keys, and not very short values."""

from __future__ import annotations

import re

SHORTEST_SECRET = 6
"""Characters; shorter values would be masked out of ordinary words."""

# In this order: no key; words for keys; examples; servers that accept any key; default passwords of images.
_PLACEHOLDERS = """
none null nil undefined empty blank no not needed required necessary unused dummy fake mock placeholder todo true false
default anything whatever something nothing
your my the a an some any api key keys apikey token secret password passwd pass auth access bearer here
test tests testing example examples sample demo dev local localhost change changeme me replace insert enter put with
this it in is abc foo bar baz redacted masked hidden
sk pk ollama lm studio lmstudio vllm llama llamacpp cpp openai litellm localai koboldcpp jan gpt4all tgi
admin administrator root user username guest postgres postgresql mysql mariadb mongo mongodb redis rabbitmq minio
minioadmin letmein qwerty welcome
"""
_PLACEHOLDER_WORDS = frozenset(_PLACEHOLDERS.split())
_FILLING = re.compile(r"(.)\1*|123456?7?8?9?0?")
"""One repeated character (`xxx`, `***`), and counting."""

_NUMBER = re.compile(r"[0-9]{1,4}")
_SEPARATORS = re.compile(r"[\s_.,:;!?<>(){}\[\]'\"$%-]+")


def is_worth_masking(value: str) -> bool:
    """Whether `value` can be a secret: at least six characters, and not a placeholder such as `sk-xxx` or `not-needed`.

    A value is a placeholder if each of its words is one, or filler such as `xxxx`; short numbers may be among them.
    """
    if len(value.strip()) < SHORTEST_SECRET:
        return False
    words = {word for word in _SEPARATORS.split(value.casefold()) if word}
    others = {word for word in words if word not in _PLACEHOLDER_WORDS and not _FILLING.fullmatch(word)}
    return bool(others) and not (words & _PLACEHOLDER_WORDS and all(map(_NUMBER.fullmatch, others)))
