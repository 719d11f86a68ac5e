"""How rules are parsed and written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpilot.permissions import Rules
from vmpilot.permissions.rule_syntax import read_rule, write_rule


@pytest.mark.parametrize(
    ("written", "tool", "words"),
    [
        ("shell", "shell", ()),
        ("shell: npm test", "shell", ("npm", "test")),
        (" shell:git commit -m 'a b' ", "shell", ("git", "commit", "-m", "a b")),
        ("edit_file: /srv/my app", "edit_file", ("/srv/my app",)),
        ("web_fetch: Docs.Python.org", "web_fetch", ("docs.python.org",)),
        ("github: issue create", "github", ("issue", "create")),
        ("mcp__files__read", "mcp__files__read", ()),
    ],
)
def test_a_rule_is_parsed(written: str, tool: str, words: tuple[str, ...]) -> None:
    rule = read_rule(written)
    assert (rule.tool, rule.words, rule.written) == (tool, words, written.strip())


@pytest.mark.parametrize(
    ("written", "because"),
    [
        ("", "expected TOOL"),
        ("shell npm test", "expected TOOL"),
        ("Bash(npm test)", "expected TOOL"),
        ("shell:", 'write "shell"'),
        ("shell: npm 'test", "unbalanced quotes"),
        ("shell: ls && rm x", "one simple command"),
        ("shell: npm run *", "wildcards"),
        ("shell: echo $HOME", "one simple command"),
        ("shell: ''", "names no program"),
        ("shell: ls\u202e", "invisible characters"),
        ("web_fetch: https://x.example/", "a bare host name"),
        ("web_fetch: *.example", "a bare host name"),
    ],
)
def test_an_invalid_rule_is_named_with_the_reason(written: str, because: str) -> None:
    with pytest.raises(ValueError, match="in deny") as caught:
        Rules.read(allow=["shell: ls"], deny=[written])
    assert repr(written) in str(caught.value)
    assert because in str(caught.value)


@settings(database=None, derandomize=True)
@given(words=st.lists(st.text(max_size=8), min_size=1, max_size=4))
def test_a_written_rule_is_parsed_the_same(words: list[str]) -> None:
    written = write_rule("shell", words)
    if written is not None:
        assert read_rule(written).words == tuple(words)
    elif all(word.isascii() and word.isalnum() for word in words):
        pytest.fail("a plain command cannot be written")
