from __future__ import annotations

import re

from vmpilot.engine.text_tools import CallMark


def test_each_conversation_has_its_own_word() -> None:
    assert CallMark.of("a") == CallMark.of("a")
    assert len({CallMark.of(name).word for name in ("a", "b", "\ud800")}) == 3
    assert re.fullmatch(r"call-[0-9a-f]{8}", CallMark.of("a").word)


def test_the_word_is_removed_from_foreign_text() -> None:
    mark = CallMark.of("a")
    assert mark.struck_from(f"```{mark.word}\nls") == "```call-…\nls"
    assert mark.struck_from("```call-00000000") == "```call-00000000"
