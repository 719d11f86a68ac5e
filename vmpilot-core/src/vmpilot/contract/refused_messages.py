"""Finds out why a server rejects the messages of a request, if another form of the messages would help.

Each pattern is taken from a response of the server named next to it.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import msgspec

_PATTERNS = {"letters": r"[A-Za-z0-9]", "names": r"[A-Za-z0-9_-]", "printable": r"[!-~]"}

MessageProblem: TypeAlias = Literal[
    "call_ids", "opaque_data", "reasoning_missing", "roles", "signature_missing", "system_role"
]
"""The problem with messages that a server rejects.

`call_ids`: tool call ids must have another form. `opaque_data`: it does not accept returned provider data.
`reasoning_missing`: the reasoning of each answer is required; `signature_missing`: a signature with each call is
required. `system_role`: it does not accept a system prompt. `roles`: user and assistant must alternate.
"""


class IdForm(msgspec.Struct, frozen=True):
    """The form of tool call ids that a provider accepts: up to `longest` characters, or exactly that many if `exact`.

    `alphabet` is `letters` for letters and digits, `names` for those and `-` or an underscore, `printable` for ASCII.
    """

    longest: int
    exact: bool = False
    alphabet: Literal["letters", "names", "printable"] = "names"

    def accepts(self, call_id: str) -> bool:
        """Whether the provider accepts this id unchanged."""
        fits = len(call_id) == self.longest if self.exact else len(call_id) <= self.longest
        return fits and re.fullmatch(f"{_PATTERNS[self.alphabet]}+", call_id) is not None


class RefusedMessages(msgspec.Struct, frozen=True):
    """The problem; with `call_ids`, the form of the ids that the server accepts."""

    problem: MessageProblem
    id_form: IdForm | None = None


_LOOKED_AT = 10_000

_NOT = r"(?:not|n.t)"
_ROLE = r"\b(?:system|developer)\b"
_REFUSAL = r"(?:supported|allowed|enabled|permitted|available|accepted)"
_SYSTEM = re.compile(
    # vLLM and llama.cpp with Gemma's template; Google's own Gemma: "Developer instruction is not enabled for …".
    rf"{_ROLE}\W{{0,3}}(?:role|message|prompt|instruction)s?\W.{{0,30}}?(?:{_NOT} (?:currently )?{_REFUSAL}|"
    r"unsupported)|"
    # Bedrock: "This model doesn't support system messages"; OpenAI's o1: "does not support 'system' with this model".
    rf"{_NOT} (?:support|allow|accept|take)(?: (?:the|a))?(?: role)?\W{{1,3}}{_ROLE}\W{{0,3}}(?:role|message|prompt|"
    r"instruction|with\b|in\b|$)|"
    r"(?:unknown|invalid|unsupported|unexpected|unrecogni[sz]ed)(?: message)? role\W{1,4}" + _ROLE + "|"
    rf"\W{_ROLE}\W{{1,3}}is not one of|"
    # Mistral's templates; other roles may follow "got".
    r"only (?:the )?user\b.{0,40}roles? (?:are|is) supported,? ?got '?(?:system|developer)",
    re.IGNORECASE | re.DOTALL,
)
# Templates of Mistral 7B and Gemma; they also say this about a system prompt and about tool messages.
_ROLES = re.compile(r"roles must alternate|only (?:the )?user\b.{0,40}roles? (?:are|is) supported", re.IGNORECASE)

_MISSING = r"(?:missing|required|must be (?:passed|provided|included|present|sent)|not (?:found|provided))"
_WANTED = r"(?:missing|requires?|without|must (?:have|include|contain|provide))"


def _misses(name: str) -> re.Pattern[str]:
    return re.compile(rf"{name}\W.{{0,80}}?{_MISSING}|{_WANTED}\W.{{0,40}}?{name}", re.IGNORECASE | re.DOTALL)


_REASONING_MISSING = _misses("reasoning_content")  # DeepSeek, Moonshot
_SIGNATURE_MISSING = _misses("thought_?signature")  # Gemini 3

_MEMBERS = (
    r"\b(?:extra_content|provider_specific_fields|reasoning_content|reasoning_details|thinking_blocks|"
    r"thought_?signature)"
)
_EXTRA = (
    r"(?:unknown|unsupported|unrecogni[sz]ed|unexpected|additional propert|extra[ _](?:inputs|fields|forbidden)|"
    rf"{_NOT} (?:currently )?(?:supported|allowed|permitted|recogni[sz]ed))"
)
_OPAQUE = re.compile(
    rf"{_EXTRA}.{{0,120}}?{_MEMBERS}|{_MEMBERS}\b.{{0,80}}?{_EXTRA}|"
    # Gemini: "Corrupted thought signature." and "Thought signature is not valid"; Anthropic's follows.
    r"thought.?signature\W.{0,30}?(?:not valid|invalid|corrupted)|(?:invalid|corrupted)\W{1,3}thought.?signature|"
    r"invalid\W{1,4}signature\W{1,4}in\W{1,4}thinking",
    re.IGNORECASE | re.DOTALL,
)

_ID = r"tool.?calls?.{0,3}ids?\b|tool_calls\W{1,3}\d+\W{1,3}id\b|tool_?use\W?_?id\b|call_?id\b"
_IDS = re.compile(_ID, re.IGNORECASE)
_LENGTH = re.compile(
    r"(?:max(?:imum)?[ _]?length\W{0,3}(?:of |is |== ?)?|at most |longer than |length less than or equal to |"
    r"exceeds? (?:the )?(?:maximum|limit)\D{0,20})(\d{1,4})\b",
    re.IGNORECASE,
)
_EXACT_LENGTH = re.compile(r"(?:with a|exact) length of (\d{1,4})\b|exactly (\d{1,4}) char", re.IGNORECASE)
_NAMES = re.compile(r"\[a-zA-Z0-9_\\?-\]")
_SHORTEST = 6
"""Shorter ids could not distinguish enough calls, so a smaller number was not the limit."""
_USUAL = 64


def find_refused_messages(text: str, *, named: str = "") -> RefusedMessages | None:
    """The problem with the messages, according to the server's text; None if no other form would help.

    `named` is the `param` of OpenAI's error.
    """
    text = text[:_LOOKED_AT]
    if _SIGNATURE_MISSING.search(text):
        return RefusedMessages("signature_missing")
    if _REASONING_MISSING.search(text):
        return RefusedMessages("reasoning_missing")
    if _OPAQUE.search(text) or (_EXTRA_NAMED.search(named) and re.search(_EXTRA, text, re.IGNORECASE)):
        return RefusedMessages("opaque_data")
    if (form := _find_id_form(text, named)) is not None:
        return RefusedMessages("call_ids", form)
    if _SYSTEM.search(text):
        return RefusedMessages("system_role")
    return RefusedMessages("roles") if _ROLES.search(text) else None


_EXTRA_NAMED = re.compile(rf"\Amessages\b.*{_MEMBERS}", re.IGNORECASE)


def _find_id_form(text: str, named: str) -> IdForm | None:
    if not (_IDS.search(text) or _IDS.search(named)):
        return None
    if exact := _EXACT_LENGTH.search(text):
        length = int(exact[1] or exact[2])
        return IdForm(length, exact=True, alphabet="letters") if length >= _SHORTEST else None
    longest = _LENGTH.search(text)
    length = int(longest[1]) if longest else 0
    if length >= _SHORTEST:
        return IdForm(min(length, _USUAL))
    return IdForm(_USUAL) if _NAMES.search(text) else None
