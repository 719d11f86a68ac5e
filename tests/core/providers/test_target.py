"""The target of a model call: its name without secrets, and its key."""

from __future__ import annotations

from contextlib import suppress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpilot.contract import AuthenticationFailed, ModelCall, ModelNotFound, ModelSettings, Secret
from vmpilot.providers import ModelName, ModelTarget, choose_key, find_target, read_base_url

OPENAI = ModelTarget(ModelName("openai", "gpt-4o"), key=Secret("my own key"))


def _target(
    model: str, base_url: str | None = None, key: Secret | None = None, own: dict[str, str] | None = None
) -> ModelTarget:
    call = ModelCall((), "", model, ModelSettings(base_url=base_url, api_key=key), ())
    return find_target(call, key_variables=own)


@pytest.mark.parametrize(
    ("base_url", "name"),
    [
        (None, "openai/gpt-4o"),
        ("http://127.0.0.1:8000/v1", "openai/gpt-4o at http://127.0.0.1:8000/v1"),
        ("https://me:hidden@host:8000/v1?token=hidden#hidden", "openai/gpt-4o at https://host:8000/v1"),
        ("http://[::1", "openai/gpt-4o at http://[::1"),
        ("no url", "openai/gpt-4o at no url"),
    ],
)
def test_its_name_contains_no_secret(base_url: str | None, name: str) -> None:
    target = _target("gpt-4o", base_url, Secret("hidden"))
    assert str(target) == name
    assert "hidden" not in repr(target)


@pytest.mark.parametrize(
    ("model", "base_url", "own", "sentence"),
    [
        ("openai/gpt-4o", None, {}, "There is no key for openai/gpt-4o: set OPENAI_API_KEY or VMPILOT_API_KEY"),
        ("claude-x", None, {}, "There is no key for anthropic/claude-x: set ANTHROPIC_API_KEY or VMPILOT_API_KEY"),
        ("gemini/x", None, {}, "There is no key for gemini/x: set GOOGLE_API_KEY or VMPILOT_API_KEY"),
        ("azure/x", None, {"azure": "AZURE_KEY"}, "There is no key for azure/x: set AZURE_KEY or VMPILOT_API_KEY"),
        ("ollama/x", None, {}, "There is no key for ollama/x: set VMPILOT_API_KEY"),
        ("x", "http://host/v1", {}, "There is no key for openai/x at http://host/v1: set VMPILOT_API_KEY"),
    ],
)
def test_a_missing_key_names_its_variables(
    model: str, base_url: str | None, own: dict[str, str], sentence: str
) -> None:
    assert str(_target(model, base_url, own=own).missing_key()) == sentence


def test_a_bare_name_of_an_unknown_family_is_not_a_model() -> None:
    with pytest.raises(ModelNotFound, match="provider/wizard"):
        _target("wizard")


@pytest.mark.parametrize("key", ["sk-1\nsk-2", "schlüssel"])
def test_a_key_with_invalid_characters_is_an_error(key: str) -> None:
    with pytest.raises(AuthenticationFailed, match="perhaps a line break: set OPENAI_API_KEY or VMPILOT_API_KEY"):
        _target("gpt-4o", key=Secret(key)).check_key()
    _target("gpt-4o", key=Secret("sk-whole")).check_key()
    _target("gpt-4o").check_key()


@pytest.mark.parametrize(
    ("base_url", "key", "sent"),
    [
        (None, None, None),
        (None, "mine", "mine"),
        ("http://host/v1", "mine", "mine"),
        ("http://host/v1", None, "none"),
    ],
)
def test_a_custom_server_never_gets_the_key_of_the_provider(
    base_url: str | None, key: str | None, sent: str | None
) -> None:
    assert choose_key(ModelSettings(base_url=base_url, api_key=Secret(key) if key else None)) == sent


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("wrong my own key here", "wrong … here"),
        ("wrong sk-proj-abcdefghijkl here", "wrong … here"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer …"),
        ("?key=abcdefgh&x=1", "?key=…&x=1"),
        ("two\n  lines", "two lines"),
        ("a \x1b[31mred\x00 half \ud83d", "a [31mred half"),
        (" <!DOCTYPE html><p>no</p>", ""),
        ("task-force one", "task-force one"),
        ("it broke Traceback (most recent call last): File x", "it broke"),
        ("", ""),
    ],
)
def test_quotes_omit_keys_html_and_control_characters(text: str, quoted: str) -> None:
    assert OPENAI.quote(text) == quoted


def test_long_texts_are_cut() -> None:
    assert OPENAI.quote("x" * 9999) == "x" * 299 + "…"


def test_a_key_of_three_letters_is_not_masked() -> None:
    assert ModelTarget(OPENAI.name, key=Secret("key")).quote("your key is wrong") == "your key is wrong"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        (" https://host/v1/\n", "https://host/v1"),
        ("HTTPS://host//", "HTTPS://host"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("http://[fe80::1%25eth0]/v1", "http://[fe80::1%25eth0]/v1"),
        ("https://bücher.example/v1", "https://bücher.example/v1"),
        ("https://me:p%40ss@host/v1", "https://me:p%40ss@host/v1"),
        ("https://host/x?api-version=2024-02-01", "https://host/x?api-version=2024-02-01"),
        ("https://host/x/?a=/b/", "https://host/x?a=/b/"),
        ("https://host/x?", "https://host/x"),
    ],
)
def test_a_base_url_is_normalized(text: str, url: str) -> None:
    assert read_base_url(text) == url
    assert read_base_url(url) == url


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it does not start with http:// or https://"),
        ("hidden:8000/v1", "it does not start with http:// or https://"),
        ("//hidden/v1", "it does not start with http:// or https://"),
        ("http:/hidden/v1", "it does not start with http:// or https://"),
        ("ws://hidden/v1", "it does not start with http:// or https://"),
        ("http://", "it has no host"),
        ("http://me:hidden@/v1", "it has no host"),
        ("http://:8000", "it has no host"),
        ("http://hid den/v1", "it contains a space or a control character"),
        ("http://hidden/v1\x00", "it contains a space or a control character"),
        ("http://hidden/v\u00a01", "it contains a space or a control character"),
        ("http://me:hidden@host:port", "its host or port is invalid"),
        ("http://me:hidden@host:99999", "its host or port is invalid"),
        ("http://me:hidden@host:0", "its host or port is invalid"),
        ("http://me:hidden@[::1", "its host or port is invalid"),
        ("http://me:hidden@[::g]", "its host or port is invalid"),
        ("http://me:hidden@ho..st", "its host or port is invalid"),
        ("http://me:hidden@ho*st", "its host or port is invalid"),
        (f"http://{'x' * 300}.test", "its host or port is invalid"),
        ("http://hidden/v1#part", "it has a fragment (#), which is never sent to a server"),
    ],
)
def test_the_reason_for_an_invalid_base_url_does_not_show_it(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^its? ") as caught:
        read_base_url(text)
    assert str(caught.value) == reason


@given(st.text(max_size=50), st.text(st.sampled_from("ab.:/[]@%?# \x000é"), max_size=30))
def test_any_text_is_a_base_url_or_has_a_reason(text: str, odd: str) -> None:
    for url in (text, f"http://{odd}", f"http://{text}"):
        with suppress(ValueError):
            assert httpx.URL(read_base_url(url)).host
