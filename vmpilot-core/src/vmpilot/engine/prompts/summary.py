"""The instruction for summarizing a conversation that has become too long."""

from __future__ import annotations

from importlib.resources import files


def summary_prompt(*, mark: str, words: int) -> str:
    """The instruction; `mark` begins the line above each passage of the transcript, `words` is the summary's limit."""
    template = files("vmpilot.engine.prompts").joinpath("summary.md").read_text(encoding="utf-8")
    return template.format(mark=mark, words=words).strip()
