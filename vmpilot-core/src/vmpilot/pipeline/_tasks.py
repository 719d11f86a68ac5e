"""Recognizes requests of Open WebUI itself (titles, tags, follow-ups and so on), for which no agent may run.

Its server strips `metadata`, so they are recognized by its templates: start, end and middle must match.
Source: https://github.com/open-webui/open-webui, `DEFAULT_…_PROMPT_TEMPLATE` in backend/open_webui/config.py, and
utils/context_compaction.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vmpilot.contract import Message, UserMessage

_TASK = "### Task:\n"
_COMPACTIONS = tuple(
    f"{_TASK}Summarize the conversation {which} that will be compacted out of the active chat context.\n"
    for which in ("above", "history")
)
_EMOJI = "Your task is to reflect the speaker's likely facial expression through a fitting emoji. "
_MERGER = 'You have been provided with a set of responses from various models to the latest user query: "'
_MERGE = "\nYour task is to synthesize these responses into a single, high-quality response. "
_CHOICE = "\nYour task is to choose and return the correct tool(s) from the list of available tools"


def is_task(metadata: object, system: str, messages: Sequence[Message]) -> bool:
    """Whether the request is Open WebUI's own: if `metadata` names any task, or else by its text."""
    if isinstance(metadata, Mapping) and metadata.get("task"):
        return True
    if not messages or not isinstance(last := messages[-1], UserMessage):
        return False
    text = _plain(last.text)
    return text.startswith(_COMPACTIONS) or (len(messages) == 1 and _has_form(_plain(system), text))


def _has_form(system: str, text: str) -> bool:
    """Whether a chat with only this message is a task."""
    if text.startswith(_TASK):
        completes = text.endswith("#### Output:") and "</chat_history>\n<type>" in text
        return "\n<chat_history>\n" in text and (completes or text.endswith("</chat_history>"))
    if text.startswith(_EMOJI):
        return "\nMessage: ```" in text and text.endswith("```")
    if text.startswith(_MERGER):
        return _MERGE in text and "\nResponses from models: " in text
    return text.startswith("Query: ") and system.startswith("Available Tools: ") and _CHOICE in system


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").strip()
