"""Every rule for choosing a backend, and every error."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from vmpilot.contract import ENTRY_POINT_GROUP, BackendError
from vmpilot.installation import install_command, uninstall_command
from vmpilot.plugins import InstalledBackend, choose_backend


def backend(name: str, distribution: str = "", version: str = "1.0") -> InstalledBackend:
    return InstalledBackend(name, distribution or f"dist-{name}", version, EntryPoint(name, "m", ENTRY_POINT_GROUP))


LANGCHAIN = backend("langchain", "vmpilot-backend-langchain")
LITELLM = backend("litellm", "vmpilot-backend-litellm")
ECHO = backend("echo")
MINE = backend("mine")
LITELLM_COMMAND = install_command("vmpilot-backend-litellm")


@pytest.mark.parametrize("installed", [(LITELLM,), (LANGCHAIN, LITELLM), (ECHO, LITELLM)])
def test_the_requested_backend_is_chosen(installed: tuple[InstalledBackend, ...]) -> None:
    choice = choose_backend(installed, "litellm", asked_by="VMPILOT_BACKEND")
    assert choice.backend is LITELLM
    assert choice.why == "VMPILOT_BACKEND"


@pytest.mark.parametrize(
    ("installed", "default"),
    [
        ((LANGCHAIN, LITELLM), LANGCHAIN),
        ((ECHO, LANGCHAIN, LITELLM), LANGCHAIN),
        ((ECHO, LANGCHAIN), LANGCHAIN),
        ((ECHO, LITELLM), LITELLM),
        ((ECHO, LITELLM, MINE), LITELLM),
    ],
)
def test_an_included_backend_is_the_default(installed: tuple[InstalledBackend, ...], default: InstalledBackend) -> None:
    choice = choose_backend(installed, None)
    assert choice.backend is default
    assert choice.why == "the default"


@pytest.mark.parametrize("only", [LANGCHAIN, LITELLM, ECHO])
def test_the_only_backend_is_chosen(only: InstalledBackend) -> None:
    choice = choose_backend([only], None)
    assert choice.backend is only
    assert choice.why == "the only one installed"


@pytest.mark.parametrize(
    ("installed", "asked_for", "sentence"),
    [
        (
            (),
            None,
            f"No backend is installed. Run `{LITELLM_COMMAND}` or `{install_command('vmpilot-backend-langchain')}`.",
        ),
        (
            (MINE, ECHO),
            None,
            "Several backends are installed (echo, mine), and there is no default. "
            "Choose one with `vmpilot config set backend echo`, or with --backend for one request.",
        ),
        ((), "echo", 'Backend "echo" (--backend) is not installed. Run ' + f"`{LITELLM_COMMAND}`."),
        (
            (LANGCHAIN, ECHO),
            "litellm",
            'Backend "litellm" (--backend) is not installed. '
            f"Run `{LITELLM_COMMAND}`, or use another backend (echo, langchain).",
        ),
        (
            (),
            "langchain",
            f'Backend "langchain" (--backend) is not installed. Run `{install_command("vmpilot-backend-langchain")}`.',
        ),
        ((LITELLM, ECHO), "ecko", 'Backend "ecko" (--backend) is not installed. Installed backends: echo, litellm.'),
        ((LITELLM,), "LiteLLM", 'Backend "LiteLLM" (--backend) is not installed. Installed backends: litellm.'),
        ((LITELLM,), "", 'Backend "" (--backend) is not installed. Installed backends: litellm.'),
        (
            (ECHO, backend("echo", "other", "2.0")),
            "echo",
            'Backend "echo" is provided by both dist-echo 1.0 and other 2.0. '
            f"Run `{uninstall_command('dist-echo')}` or `{uninstall_command('other')}`.",
        ),
        (
            (ECHO, backend("echo", "other", "2.0")),
            None,
            'Backend "echo" is provided by both dist-echo 1.0 and other 2.0. '
            f"Run `{uninstall_command('dist-echo')}` or `{uninstall_command('other')}`.",
        ),
        (
            (LANGCHAIN, backend("langchain", "other", "2.0"), LITELLM),
            None,
            'Backend "langchain" is provided by both vmpilot-backend-langchain 1.0 and other 2.0. '
            f"Run `{uninstall_command('vmpilot-backend-langchain')}` or `{uninstall_command('other')}`.",
        ),
    ],
)
def test_errors_of_the_choice(installed: tuple[InstalledBackend, ...], asked_for: str | None, sentence: str) -> None:
    with pytest.raises(BackendError) as caught:
        choose_backend(installed, asked_for, asked_by="--backend")
    assert str(caught.value) == sentence
    assert caught.value.exit_code == 5


def test_a_clash_of_other_backends_is_ignored() -> None:
    installed = (ECHO, backend("echo", "other"), LITELLM)
    assert choose_backend(installed, "litellm").backend is LITELLM
    assert choose_backend((*installed, LANGCHAIN), None).backend is LANGCHAIN
