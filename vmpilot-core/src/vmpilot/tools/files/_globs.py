"""Globs as regular expressions that take linear time: `*`, `?`, `[…]` in a name, `**` across folders, `{a,b}`."""

from __future__ import annotations

import re
from functools import lru_cache

_PART = re.compile(r"\*\*|\*|\?|\[(?P<set>[!^]?\]?[^\]]*)\]|\\(?P<escaped>.)|(?P<plain>[^*?\[\\]+|.)", re.DOTALL)
_BRACES = re.compile(r"(?<!\\)\{([^{}]*)\}")
_MOST_CHOICES = 200


class BadGlob(ValueError):
    """The pattern cannot be used; the message says why."""


@lru_cache(maxsize=64)
def compile_glob(pattern: str) -> re.Pattern[str]:
    """A pattern without `/` matches a name at any depth, one with `/` a path from the folder. Raises `BadGlob`."""
    choices = [choice.removeprefix("./").removeprefix("/") for choice in _expand(pattern)]
    paths = (translate(choice) if "/" in choice else f"(?:.*/)?{translate_name(choice)}" for choice in choices)
    return re.compile("|".join(f"(?:{path})" for path in paths), re.DOTALL)


def translate(glob: str) -> str:
    """The regular expression of a glob over a complete path, without braces. Raises `BadGlob`.

    The part after a star is matched at its first occurrence without backtracking (atomic groups), which keeps the time
    linear. That is never wrong, because it is followed by another star or the end.
    """
    pieces: list[list[str]] = [[]]
    for part in glob.split("/"):
        if part == "**":
            pieces.append([])
        else:
            pieces[-1].append(translate_name(part))
    first, *middle = pieces
    if not middle:
        return "/".join(first)
    said = "".join(f"{part}/" for part in first)
    said += "".join(f"(?>(?:[^/]+/)*?{'/'.join(piece)}/)" for piece in middle[:-1] if piece)
    return said + (f"(?:[^/]+/)*{'/'.join(middle[-1])}" if middle[-1] else ".+")


def translate_name(glob: str) -> str:
    """`translate` for one component of a path."""
    pieces = [""]
    for match in _PART.finditer(glob):
        if match[0] in {"*", "**"}:
            pieces.append("")
        else:
            pieces[-1] += _translate_part(match)
    first, *middle = pieces
    if not middle:
        return first
    return first + "".join(f"(?>[^/]*?{piece})" for piece in middle[:-1] if piece) + f"[^/]*{middle[-1]}"


def _translate_part(match: re.Match[str]) -> str:
    if match["set"] is None:
        return "[^/]" if match[0] == "?" else re.escape(match["escaped"] or match["plain"])
    members = match["set"]
    negated = members[:1] in {"!", "^"}
    members = members[1:] if negated else members
    if not members:
        raise BadGlob("a [ ] set is empty")
    safe = re.sub(r"([\\\[\]^&~|])", r"\\\1", members)
    said = f"(?!/)[{'^' if negated else ''}{safe}]"
    try:
        re.compile(said)
    except re.error as error:
        raise BadGlob(f"[{members}] is not a valid set of characters") from error
    return said


def _expand(pattern: str) -> list[str]:
    """All alternatives of its braces."""
    waiting, done = [pattern], list[str]()
    while waiting:
        glob = waiting.pop()
        match = _BRACES.search(glob)
        if match is None:
            done.append(glob)
        else:
            waiting += (glob[: match.start()] + choice + glob[match.end() :] for choice in match[1].split(","))
        if len(waiting) + len(done) > _MOST_CHOICES:
            raise BadGlob("too many alternatives in braces")
    return done
