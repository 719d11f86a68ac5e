"""What a conversation remembers, what overrides it, and the notices for the user."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpilot.app._memory import recall, terms_of
from vmpilot.config import Settings
from vmpilot.contract import Secret, TurnStarted, TurnTerms, UsageError, UserMessage

KEY = Secret("sk-configured")
SERVER, OTHER = "http://localhost:8000/v1", "http://localhost:9000/v1"
MODES = ("observe", "operate", "full")


def turn(terms: TurnTerms | None, backend: str = "litellm") -> TurnStarted:
    return TurnStarted("c", "t", UserMessage.from_text("hi"), backend, "resolved", 0.0, terms=terms)


def recalled(settings: Settings, terms: TurnTerms, *, given: str = "", variables: str = "") -> tuple[str, str, str]:
    """Model, mode and changes, on litellm."""
    options = set(given.split())
    found = recall(settings, turn(terms), backend="litellm", fixed=options | set(variables.split()), given=options)
    return found.settings.model_for("litellm"), found.settings.mode, ", ".join(found.changes)


def test_new_conversations_and_old_logs_use_the_settings() -> None:
    settings = Settings(model="m", mode="full")
    for last in (None, turn(None)):
        found = recall(settings, last, backend="litellm", fixed=set(), given=set())
        assert (found.settings, found.changes) == (settings, ())


@pytest.mark.parametrize(
    ("settings", "given", "variables", "model", "said"),
    [
        (Settings(), "", "", "local", ""),
        (Settings(model="file"), "", "", "local", ""),
        (Settings(litellm_model="file"), "", "", "local", ""),
        (Settings(model="o"), "model", "", "o", "model o instead of local"),
        (Settings(model="v"), "", "model", "v", "model v instead of local"),
        (Settings(litellm_model="v"), "", "litellm_model", "v", "model v instead of local"),
        (Settings(langchain_model="v"), "", "langchain_model", "local", ""),
        (Settings(model="v", litellm_model="file"), "", "model", "local", ""),
        (Settings(base_url=SERVER, api_key=KEY), "", "base_url", "local", ""),
    ],
)  # fmt: skip
def test_options_and_variables_override_the_remembered_model(
    settings: Settings, given: str, variables: str, model: str, said: str
) -> None:
    assert recalled(settings, TurnTerms("local", "operate"), given=given, variables=variables) == (
        model,
        "operate",
        said,
    )


@given(then=st.sampled_from(MODES), now=st.sampled_from(MODES), option=st.booleans(), variable=st.booleans())
def test_only_an_option_makes_the_mode_less_restrictive(then: str, now: str, option: bool, variable: bool) -> None:
    settings = Settings(mode=now)  # type: ignore[arg-type]
    _, mode, said = recalled(settings, TurnTerms("gpt-4o", then), given="mode" * option, variables="mode" * variable)
    if option:
        assert mode == now
    else:
        assert MODES.index(mode) == min(MODES.index(then), MODES.index(now))
    assert (f"mode {mode} instead of {then}" in said) == (mode != then)
    assert (f"--mode {then}" in said) == (MODES.index(mode) < MODES.index(then))


def test_an_unknown_remembered_mode_is_ignored() -> None:
    assert recalled(Settings(mode="observe"), TurnTerms("gpt-4o", "everything")) == ("gpt-4o", "observe", "")


def test_a_model_keeps_its_base_url() -> None:
    there = TurnTerms("m", "operate", address=SERVER)
    assert recalled(Settings(base_url=SERVER), there) == ("m", "operate", "")
    assert recalled(Settings(base_url=OTHER), there) == ("gpt-4o", "operate", "model gpt-4o instead of m")
    assert recalled(Settings(model="x"), there, given="model")[0] == "x"
    with pytest.raises(UsageError, match=f"Add --base-url {SERVER}, or choose another model"):
        recalled(Settings(), there)
    elsewhere = TurnTerms("anthropic/m", "operate")
    assert recalled(Settings(base_url=OTHER), elsewhere)[0] == "gpt-4o"


def test_base_urls_are_compared_without_secrets() -> None:
    settings = Settings(base_url="http://user:opensesame@localhost:8000/v1?key=opensesame")
    terms = terms_of(settings, "litellm")
    assert "opensesame" not in repr(terms)
    assert recalled(settings, terms)[2] == ""


@pytest.mark.parametrize(("keyed", "sent"), [(False, False), (True, True)])
def test_a_key_that_was_set_later_is_not_sent_to_the_remembered_provider(keyed: bool, sent: bool) -> None:
    last = turn(TurnTerms("anthropic/m", "operate", keyed=keyed))
    found = recall(Settings(model="openai/x", api_key=KEY), last, backend="litellm", fixed=set(), given=set())
    assert found.settings.model_for("litellm") == "anthropic/m"
    assert (found.settings.api_key is not None) is sent


def test_the_same_model_keeps_its_new_key() -> None:
    last = turn(TurnTerms("openai/x", "operate"))
    found = recall(Settings(model="openai/x", api_key=KEY), last, backend="litellm", fixed=set(), given=set())
    assert found.settings.api_key == KEY


NAMES = st.sampled_from([None, "local", "local:/x.gguf", "openai/a", "anthropic/b"])
URLS = st.sampled_from([None, SERVER, OTHER])


@given(first=st.tuples(NAMES, URLS, st.booleans()), second=st.tuples(NAMES, URLS, st.booleans()))
def test_a_key_is_sent_only_to_earlier_or_configured_targets(
    first: tuple[str | None, str | None, bool], second: tuple[str | None, str | None, bool]
) -> None:
    """A key is never sent to a remembered address to which no key was sent before."""
    then, now = (
        Settings(model=model, base_url=url, api_key=KEY if keyed else None) for model, url, keyed in (first, second)
    )
    terms = terms_of(then, "litellm")
    try:
        found = recall(now, turn(terms), backend="litellm", fixed=set(), given=set()).settings
    except UsageError:
        assert terms.address
        assert now.base_url is None
        return
    assert found.base_url == now.base_url  # never to the remembered one
    if found.model_for("litellm") != now.model_for("litellm") and found.api_key is not None:
        assert terms.keyed or now.base_url is not None
