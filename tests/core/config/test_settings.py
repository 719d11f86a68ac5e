"""The sources of settings, their order, and the errors of invalid ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from vmpilot.config import (
    PROJECT_KEYS,
    TRUSTED_PROJECT_KEYS,
    VARIABLES,
    Environment,
    LoadedSettings,
    Settings,
    load_settings,
)
from vmpilot.config._sources import DESCRIPTIONS, find_project_file
from vmpilot.contract import RetryPolicy, Secret, TimeLimits, UsageError

KEY = "sk-never-shown-0123456789"


class Sources:
    """A user's folders, files and variables."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.folder.mkdir()
        self.user_file = folder / "config" / "config.toml"
        self.user_file.parent.mkdir()
        self.project_file = self.folder / ".vmpilot.toml"
        self.variables: dict[str, str] = {}

    def load(self, options: Mapping[str, tuple[Any, str]] | None = None) -> LoadedSettings:
        home = self.user_file.parent
        environment = Environment(self.variables, home, home, home, "tester")
        return load_settings(environment, folder=self.folder, options=options or {})

    def error(self, options: Mapping[str, tuple[Any, str]] | None = None) -> str:
        with pytest.raises(UsageError) as caught:
            self.load(options)
        assert caught.value.exit_code == 2
        return str(caught.value)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path)


def test_defaults(sources: Sources) -> None:
    sourced = sources.load()
    assert sourced.settings == Settings()
    assert sourced.origins == {}
    assert sourced.shown()["mode"] == ("operate", "default")
    assert Settings().time_limits == TimeLimits()
    assert Settings().retry_policy == RetryPolicy()


def test_the_source_with_priority_is_the_origin(sources: Sources) -> None:
    seen = [sources.load().shown()["model"]]
    sources.user_file.write_text('model = "of-user"')
    seen.append(sources.load().shown()["model"])
    sources.project_file.write_text('model = "of-project"')
    seen.append(sources.load().shown()["model"])
    sources.variables["VMPILOT_MODEL"] = "of-variable"
    seen.append(sources.load().shown()["model"])
    seen.append(sources.load({"model": ("of-option", "--model")}).shown()["model"])
    assert seen == [
        (None, "default"),
        ("of-user", str(sources.user_file)),
        ("of-project", str(sources.project_file)),
        ("of-variable", "VMPILOT_MODEL"),
        ("of-option", "--model"),
    ]


def test_sources_are_merged_key_by_key(sources: Sources) -> None:
    sources.user_file.write_text('model = "m"\nmax_steps = 1\nseed = 1')
    sources.project_file.write_text("max_steps = 2\nseed = 2")
    sources.variables["VMPILOT_MAX_TOKENS"] = "3"
    settings = sources.load({"seed": (4, "--seed")}).settings
    assert (settings.model, settings.max_steps, settings.max_tokens, settings.seed) == ("m", 2, 3, 4)


@pytest.mark.parametrize("variable", sorted(VARIABLES))
def test_each_variable_sets_its_setting(sources: Sources, variable: str) -> None:
    words = {
        "VMPILOT_REASONING_EFFORT": "high",
        "VMPILOT_MODE": "full",
        "VMPILOT_COMPACTION": "True",
        "VMPILOT_STREAMING": "False",
        "VMPILOT_TOOL_MODE": "text",
        "VMPILOT_CACHE": "disk",
        "VMPILOT_BASE_URL": "https://example.org/v1",
    }
    text = words.get(variable, "1")
    sources.variables[variable] = text
    sourced = sources.load()
    key = VARIABLES[variable]
    value = getattr(sourced.settings, key)
    value = ",".join(value) if isinstance(value, tuple) else value
    assert (value.reveal() if isinstance(value, Secret) else str(value).removesuffix(".0")) == text
    assert sourced.origins == {key: variable}


def test_an_empty_variable_counts_as_unset(sources: Sources) -> None:
    sources.user_file.write_text('model = "m"\nbackend = "b"')
    sources.variables |= {"VMPILOT_MODEL": "", "VMPILOT_BACKEND": "", "VMPILOT_USE_LITELLM": ""}
    settings = sources.load().settings
    assert (settings.model, settings.backend) == ("m", "b")


@pytest.mark.parametrize(
    ("flag", "backend"),
    [(flag, "litellm") for flag in ("true", "True", "TRUE", "1", "yes", "Yes", "YES", " yes ")]
    + [(flag, "langchain") for flag in ("false", "0", "no", "off", "on", "y", "t", "litellm", "11", " ")],
)
def test_the_legacy_flag_selects_a_backend(sources: Sources, flag: str, backend: str) -> None:
    sources.user_file.write_text('backend = "of-file"')
    sources.variables["VMPILOT_USE_LITELLM"] = flag
    assert sources.load().shown()["backend"] == (backend, "VMPILOT_USE_LITELLM")
    sources.variables["VMPILOT_BACKEND"] = "named"
    assert sources.load().shown()["backend"] == ("named", "VMPILOT_BACKEND")
    assert sources.load({"backend": ("option", "--backend")}).shown()["backend"] == ("option", "--backend")


def test_the_more_specific_model_wins() -> None:
    assert Settings().model_for("litellm") == Settings().model_for("langchain") == "gpt-4o"
    settings = Settings(model="common", litellm_model="own")
    assert settings.model_for("litellm") == "own"
    assert settings.model_for("langchain") == settings.model_for("third") == "common"


WRONG = [
    ("model", 5, "a string"),
    ("temperature", 2.1, "a number from 0 to 2"),
    ("temperature", -1, "a number from 0 to 2"),
    ("temperature", True, "a number from 0 to 2"),
    ("max_tokens", 0, "a whole number above 0"),
    ("max_steps", 1.5, "a whole number above 0"),
    ("max_steps", True, "a whole number above 0"),
    ("attempts", "3", "a whole number above 0"),
    ("seed", "x", "a whole number"),
    ("tool_output_lines", -1, "a whole number, 0 or more"),
    ("reasoning_effort", "huge", "one of minimal, low, medium, high"),
    ("mode", "yolo", "one of observe, operate, full"),
    ("gap_timeout", 0, "a number of seconds above 0"),
    ("retry_seconds", -0.1, "a number of seconds, 0 or more"),
    ("pass_environment", "HOME", "a list of variable names"),
    ("backend", ["a"], "a string"),
]


@pytest.mark.parametrize(("key", "value", "kind"), WRONG)
def test_a_type_error_names_file_key_and_type(sources: Sources, key: str, value: object, kind: str) -> None:
    sources.user_file.write_text(f"{key} = {json.dumps(value)}")
    assert sources.error() == f"{sources.user_file}: {key} must be {kind}, not {value!r}"


@pytest.mark.parametrize("text", ["nan", "two", "3", "-1", "1,5", "0x1"])
def test_an_invalid_variable_is_named(sources: Sources, text: str) -> None:
    sources.variables["VMPILOT_TEMPERATURE"] = text
    assert sources.error() == f"VMPILOT_TEMPERATURE: temperature must be a number from 0 to 2, not {text!r}"


def test_an_invalid_option_is_named(sources: Sources) -> None:
    error = sources.error({"temperature": (3.0, "--temperature")})
    assert error == "--temperature: temperature must be a number from 0 to 2, not 3.0"


def test_an_invalid_value_is_an_error_even_if_overridden(sources: Sources) -> None:
    sources.user_file.write_text("max_steps = 0")
    assert sources.error({"max_steps": (3, "--max-steps")}).startswith(f"{sources.user_file}: max_steps")


def test_an_unknown_key_lists_the_known_ones(sources: Sources) -> None:
    sources.user_file.write_text("modell = 'x'")
    error = sources.error()
    assert error.startswith(f'{sources.user_file}: unknown key "modell". The keys are: backend, model, ')
    assert all(key in error for key in Settings.__struct_fields__)


@pytest.mark.parametrize("content", [b"model = ", b'model = "a"\nmodel = "b"', b"\xff\xfe", b"model = 'a' 'b'"])
def test_a_file_that_is_not_toml(sources: Sources, content: bytes) -> None:
    sources.user_file.write_bytes(content)
    assert sources.error().startswith(f"Cannot read configuration file {sources.user_file}: ")


def test_a_folder_instead_of_the_file(sources: Sources) -> None:
    sources.user_file.mkdir()
    assert "Is a directory" in sources.error()


@pytest.mark.parametrize("key", sorted(set(Settings.__struct_fields__) - TRUSTED_PROJECT_KEYS))
def test_settings_that_a_project_cannot_set(sources: Sources, key: str) -> None:
    sources.project_file.write_text(f'{key} = "full"')
    error = sources.error()
    assert error.startswith(f"{sources.project_file}: a project's file cannot set {key}")
    assert error.endswith("Set it in your own configuration file or with an option.")


def test_settings_that_a_project_can_set() -> None:
    assert not PROJECT_KEYS & {"mode", "base_url", "api_key", "pass_environment", "database_url", "cache"}


@pytest.mark.parametrize("model", ["local:/tmp/evil.gguf", "local:weights"])
def test_a_project_cannot_name_a_model_file(sources: Sources, model: str) -> None:
    sources.project_file.write_text(f'model = "{model}"')
    assert "cannot set a local model file" in sources.error()


def test_the_search_for_a_project_file_ends_at_the_repository(tmp_path: Path) -> None:
    (tmp_path / ".vmpilot.toml").touch()
    inner = tmp_path / "repository" / "src" / "deep"
    inner.mkdir(parents=True)
    assert find_project_file(inner) == tmp_path / ".vmpilot.toml"
    (tmp_path / "repository" / ".git").mkdir()
    assert find_project_file(inner) is None
    (tmp_path / "repository" / ".vmpilot.toml").touch()
    assert find_project_file(inner) == tmp_path / "repository" / ".vmpilot.toml"
    (inner / ".vmpilot.toml").mkdir()
    assert find_project_file(inner) == tmp_path / "repository" / ".vmpilot.toml"


def test_every_setting_is_described() -> None:
    assert set(DESCRIPTIONS) == set(Settings.__struct_fields__)
    assert set(VARIABLES.values()) | PROJECT_KEYS <= set(Settings.__struct_fields__)


def test_secrets_are_not_shown(sources: Sources) -> None:
    sources.variables["VMPILOT_API_KEY"] = KEY
    sourced = sources.load()
    assert sourced.settings.api_key == Secret(KEY)
    assert sourced.shown()["api_key"] == ("(set)", "VMPILOT_API_KEY")
    environment = Environment(sources.variables, sources.folder, sources.folder, sources.folder, "tester")
    for shown in (repr(sourced), str(sourced.settings), repr(sourced.shown()), repr(environment)):
        assert KEY not in shown
    with pytest.raises(TypeError):
        msgspec.json.encode(sourced.settings)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgresql://ada:{KEY}@db.example:5433/log?sslmode=require", "postgresql://ada@db.example:5433/log"),
        (f"postgresql://db.example/log?user=ada&password={KEY}", "postgresql://db.example/log"),
        (f"postgresql://ada:{KEY}@/log?host=/run/postgresql", "(set)"),
        (f"postgresql://ada:{KEY}@host:port/log", "(set)"),
        (f"postgresql://[{KEY}/log", "(set)"),
        (KEY, "(set)"),
    ],
)
def test_a_database_url_is_shown_without_its_password(sources: Sources, url: str, shown: str) -> None:
    sources.variables["VMPILOT_DATABASE_URL"] = url
    sourced = sources.load()
    assert sourced.settings.database_url == Secret(url)
    assert sourced.shown()["database_url"] == (shown, "VMPILOT_DATABASE_URL")
    assert KEY not in repr(sourced) + repr(sourced.shown())


def test_the_password_of_a_base_url_is_not_shown(sources: Sources) -> None:
    url = f"http://ada:{KEY}@localhost:8000/v1"
    sourced = sources.load({"base_url": (url, "--base-url")})
    assert sourced.settings.base_url == url
    assert sourced.shown()["base_url"] == ("http://ada@localhost:8000/v1", "--base-url")


@pytest.mark.parametrize("url", ["nonsense", f"ada:{KEY}@localhost/v1", "ftp://localhost", f"http://:{KEY}@/v1", ""])
def test_an_invalid_base_url_is_an_error_that_does_not_show_it(sources: Sources, url: str) -> None:
    error = sources.error({"base_url": (url, "--base-url")})
    assert error.startswith("--base-url: invalid base URL: it ")
    assert error.endswith("; expected a URL like http://localhost:8000/v1")
    assert KEY not in error


def test_an_invalid_database_url_is_not_shown(sources: Sources) -> None:
    sources.user_file.write_text(f'database_url = ["{KEY}"]')
    assert sources.error() == (
        f"{sources.user_file}: database_url must be a URL like postgresql://user:password@host/database, not this value"
    )


def test_a_cache_url_is_shown_without_its_password(sources: Sources) -> None:
    sources.variables["VMPILOT_CACHE"] = url = f"redis://:{KEY}@cache.example:6379/1"
    sourced = sources.load()
    assert sourced.settings.cache.url == Secret(url)
    assert sourced.shown()["cache"] == ("redis://cache.example:6379/1", "VMPILOT_CACHE")
    assert KEY not in repr(sourced) + repr(sourced.shown())


@pytest.mark.parametrize("value", ['"on"', "true", f'"redis://:{KEY}#@host"', f'["{KEY}"]', f'"http://{KEY}@host"'])
def test_an_invalid_cache_is_not_shown(sources: Sources, value: str) -> None:
    sources.user_file.write_text(f"cache = {value}")
    assert sources.error() == (
        f'{sources.user_file}: cache must be "off", "disk" or a URL like redis://localhost:6379/0, not this value'
    )


def test_an_invalid_key_is_not_shown(sources: Sources) -> None:
    sources.user_file.write_text(f'api_key = ["{KEY}"]')
    assert sources.error() == f"{sources.user_file}: api_key must be a string, not this value"


SHOW = """
import json
from pathlib import Path
from vmpilot.config import current_environment, load_settings, use_litellm
from vmpilot.contract import UsageError
try:
    found = current_environment()
except UsageError as error:
    raise SystemExit(str(error))
try:
    model = load_settings(found, folder=Path.cwd(), options={}).settings.model
except UsageError as error:
    model = str(error)
folders = [str(found.config_folder), str(found.data_folder), str(found.cache_folder)]
print(json.dumps([found.user, *folders, model, use_litellm()]))
"""


def show(environment: Mapping[str, str], *before: str, cwd: Path | None = None) -> list[Any]:
    command = [*before, sys.executable, "-c", SHOW]
    ran = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    result: list[Any] = json.loads(ran.stdout)
    return result


def test_the_real_environment(tmp_path: Path) -> None:
    home = str(tmp_path)
    plain = show({"HOME": home, "USER": "ada"})
    assert plain == [
        "ada",
        f"{home}/.config/vmpilot",
        f"{home}/.local/share/vmpilot",
        f"{home}/.cache/vmpilot",
        None,
        False,
    ]
    moved = {"VMPILOT_CONFIG_DIR": "~/a", "VMPILOT_DATA_DIR": "/b", "VMPILOT_CACHE_DIR": "c"}
    assert show({"HOME": home, "USER": "ada", **moved, "VMPILOT_USE_LITELLM": "YES"}) == [
        "ada",
        f"{home}/a",
        "/b",
        "c",
        None,
        True,
    ]


STRANGER = ("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups")
"""A user without a name or home, as in containers with an arbitrary user id."""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@as_root
def test_a_user_without_a_name(tmp_path: Path) -> None:
    inner = tmp_path / "closed" / "open"
    inner.mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    enter = f'cd {inner} && exec "$@"'
    shown = show({"HOME": "/nowhere"}, "bash", "-c", enter, "bash", *STRANGER)
    assert shown[0] == "54321"
    assert shown[4] is None


@as_root
def test_a_user_without_a_home() -> None:
    ran = subprocess.run([*STRANGER, sys.executable, "-c", SHOW], env={}, capture_output=True, text=True, check=False)
    assert ran.stderr == "No home folder. Set HOME, or set VMPILOT_CONFIG_DIR to a folder.\n"


@as_root
def test_a_file_without_read_permission(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    path = tmp_path / "config.toml"
    path.touch(mode=0o600)
    shown = show({"HOME": "/nowhere", "VMPILOT_CONFIG_DIR": os.fspath(tmp_path)}, *STRANGER)
    assert shown[4] == f"Cannot read configuration file {path}: [Errno 13] Permission denied: '{path}'"


def test_fallback_models_are_a_list_in_files_and_options_and_comma_separated_in_a_variable(sources: Sources) -> None:
    sources.user_file.write_text('fallback = ["a"]')
    assert sources.load().settings.fallback == ("a",)
    sources.variables["VMPILOT_FALLBACK"] = "openai/b, local ,"
    assert sources.load().settings.fallback == ("openai/b", "local")
    assert sources.load({"fallback": (["c", "d"], "--fallback")}).settings.fallback == ("c", "d")


def test_a_string_is_not_a_list_of_fallback_models(sources: Sources) -> None:
    sources.user_file.write_text('fallback = "a,b"')
    assert "fallback must be a list of model names" in sources.error()


def test_a_fallback_model_needs_a_name(sources: Sources) -> None:
    assert "--fallback: fallback must be a list of model names" in sources.error({"fallback": ([" "], "--fallback")})


@pytest.mark.parametrize("line", ['fallback = ["a"]', "streaming = false", 'tool_mode = "text"'])
def test_a_project_cannot_change_how_models_are_called(sources: Sources, line: str) -> None:
    sources.project_file.write_text(line)
    assert "a project's file cannot set" in sources.error()
