"""The environment for commands, as values and with real programs."""

import os
import shutil
from pathlib import Path

import pytest
from tests.core.machine.conftest import Run

from vmpilot.machine.secrets.shell_environment import child_environment, is_secret_name, secret_values


@pytest.mark.parametrize(
    "name",
    [
        *("OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "GITHUB_TOKEN", "HF_TOKEN", "DB_PASSWORD"),
        *("PGPASSWORD", "MYSQL_PWD", "SSHPASS", "DB_PASS", "GITHUB_PAT", "SSH_PRIVATE_DATA", "my_secret", "api-key"),
        *("OPENAIKEY", "MYKEY", "key", "DBPASS", "PASS", "JWT", "SERVICEJWT", "SENTRY_DSN", "SENTRYDSN", "WEBHOOK_URL"),
        *("SLACK_WEBHOOK_URL", "SLACKWEBHOOKURL", "DISCORD_WEBHOOK", "AZURE_STORAGE_CONNECTION_STRING"),
        *("ConnectionStrings__Default", "SSHKEY", "SESSION_COOKIE", "TLS_PRIVATE_PEM"),
        *("GOOGLE_APPLICATION_CREDENTIALS", "npm_config__authToken", "APIKEY", "REDISCLI_AUTH", "VMPILOT_API_KEY"),
    ],
)
def test_secret_names(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "HOME", "PWD", "KEYBOARD", "KEYMAP", "MONKEY", "TOKENIZERS_PARALLELISM", "MAX_TOKENS", "COMPASS"),
        *("SSH_AUTH_SOCK", "XAUTHORITY", "SSH_ASKPASS", "PATTERN", "SSL_KEY_FILE", "TOKEN_PATH", "KEYRING", "_", ""),
        *("GIT_ASKPASS", "SUDO_ASKPASS", "NO_BYPASS", "TURKEY", "HOTKEY", "KEYMAP_VARIANT", "WEBHOOK_PORT", "BASE_URL"),
        *("PASSTHROUGH", "PASSENGER_ROOT", "DSNAME", "JWTS", "CONNECTION", "GPG_KEY_FILE"),
    ],
)
def test_names_that_are_not_secrets(name: str) -> None:
    assert not is_secret_name(name)


def test_secrets_are_left_out_unless_let_through() -> None:
    environment = {"HOME": "/root", "A_TOKEN": "aaaaaa", "B_TOKEN": "bbbbbb", "SSH_AUTH_SOCK": "/run/agent"}
    child = child_environment(environment, let_through=["B_TOKEN"])
    assert "A_TOKEN" not in child
    assert child["B_TOKEN"] == "bbbbbb"
    assert (child["HOME"], child["SSH_AUTH_SOCK"]) == ("/root", "/run/agent")
    assert environment["A_TOKEN"] == "aaaaaa"


SECRET_VALUES = [
    ("postgresql://user:opensesame@db/name", {"opensesame"}),
    ("postgres://u:p%40ssw0rd@db:5432/name?sslmode=require", {"p%40ssw0rd", "p@ssw0rd"}),
    ("mysql://u:p@ss-word1@db/name", {"p@ss-word1"}),
    ("redis://:hunter22@cache:6379/0", {"hunter22"}),
    ("amqp://u:first-1@a,amqp://u:second-2@b", {"first-1", "second-2"}),
    ("mongodb+srv://u:abcd1234@a,b,c/x", {"abcd1234"}),
    ("http://proxy-user:proxy-pass1@proxy:3128", {"proxy-pass1"}),
    ("https://0123456789abcdef0123@sentry.test/4", {"0123456789abcdef0123"}),
    ("Server=db;User Id=u;Password=hunter22;", {"hunter22"}),
    ("host=db user=u password='two words 1'", {"two words 1"}),
    ("AccountName=x;AccountKey=c2VjcmV0LWtleQ==;EndpointSuffix=y", {"c2VjcmV0LWtleQ=="}),
]


@pytest.mark.parametrize(("value", "secrets"), SECRET_VALUES)
def test_a_variable_with_a_password_in_its_value_is_left_out(value: str, secrets: set[str]) -> None:
    environment = {"DATABASE_URL": value, "HOME": "/root"}
    assert set(secret_values(environment)) == secrets
    assert "DATABASE_URL" not in child_environment(environment)
    assert child_environment(environment, let_through=["DATABASE_URL"])["DATABASE_URL"] == value


@pytest.mark.parametrize(
    "value",
    [
        *("https://example.org/a?b=c", "http://localhost:3000", "postgres://postgres:postgres@localhost/dev"),
        *("postgres://user:password@localhost/test", "http://host:8080/path@2x", "git@github.com:a/b.git"),
        *("ssh://git@github.com/a/b", "unix:///run/x.sock", "user:abc@host", "a password = none", "C:\\Users\\x"),
        *("https://some-user-name-without-digits@host", "PASSWORD", "--password"),
    ],
)
def test_a_variable_without_a_password_is_kept(value: str) -> None:
    assert child_environment({"DATABASE_URL": value})["DATABASE_URL"] == value
    assert secret_values({"DATABASE_URL": value}) == ()


def test_programs_that_wait_for_input_are_disabled() -> None:
    child = child_environment(
        {"PAGER": "less", "EDITOR": "vim", "SUDO_EDITOR": "vim", "TERM": "xterm", "COLUMNS": "80"}
    )
    assert (child["PAGER"], child["TERM"], child["GIT_TERMINAL_PROMPT"]) == ("cat", "dumb", "0")
    assert child["SUDO_ASKPASS"] == "/bin/false"
    assert "vim" not in child.values()
    assert "COLUMNS" not in child


@pytest.mark.parametrize(
    "variable",
    [
        *(
            "PWD",
            "OLDPWD",
            "CDPATH",
            "BASHOPTS",
            "SHELLOPTS",
            "BASH_ENV",
            "ENV",
            "GLOBIGNORE",
            "POSIXLY_CORRECT",
            "PS4",
        ),
        *("BASH_COMPAT", "BASH_FUNC_ls%%", "BASH_FUNC_ls()", "BASH_LOADABLES_PATH", "EXECIGNORE", "FIGNORE"),
        *("PS4", "RIPGREP_CONFIG_PATH"),
    ],
)
def test_variables_that_change_how_a_shell_parses_are_left_out(variable: str) -> None:
    assert variable not in child_environment({variable: "x"}, let_through=[variable])


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/usr/bin:.:bin:/bin", "/usr/bin:/bin"),
        (":/usr/bin:", "/usr/bin"),
        ("node_modules/.bin::/usr/bin", "/usr/bin"),
        ("/usr/bin:/bin", "/usr/bin:/bin"),
    ],
)
def test_programs_are_not_looked_for_in_the_working_folder(path: str, kept: str) -> None:
    assert child_environment({"PATH": path})["PATH"] == kept


def test_a_missing_path_stays_missing() -> None:
    assert "PATH" not in child_environment({})
    assert "PATH" not in child_environment({"PATH": "."})


async def test_a_line_does_what_it_says_whatever_the_user_exported(run: Run, tmp_path: Path) -> None:
    real, link = tmp_path / "deep" / "real", tmp_path / "link"
    for folder in (real, tmp_path / "other" / "sub"):
        folder.mkdir(parents=True)
    (real / "sub").mkdir()
    link.symlink_to(real)
    (real / ".hidden").touch()
    hostile = tmp_path / "hostile.sh"
    hostile.write_text("echo hostile\n")
    variables = child_environment(
        {
            "PATH": f".:{os.environ['PATH']}",
            "PWD": str(link),
            "CDPATH": str(tmp_path / "other"),
            "GLOBIGNORE": "nothing",
            "BASH_ENV": str(hostile),
            "SHELLOPTS": "xtrace:noglob",
            "BASHOPTS": "dotglob",
            "PS4": "$(echo hostile >&2)",
            "BASH_FUNC_pwd%%": "() { echo hostile; }",
        }
    )
    line = "pwd; echo $PWD; cd sub; pwd; cd ../..; pwd; cd real; echo *"
    outcome = await run(line, folder=link, variables=variables)
    assert outcome.output.text.split() == [*map(str, (real, real, real / "sub", tmp_path / "deep")), "sub"]


def test_secret_values_are_long_enough_and_longest_first() -> None:
    values = secret_values(
        {
            "A_KEY": "short",
            "B_KEY": "abcdef",
            "C_TOKEN": " abcdefghij\n",
            "HOME": "/home/somebody",
            "D_CREDENTIALS": "/home/somebody/key.json",
            "E_KEY": "/wJalrXUtnFEMI/K7MDENG/bPxRfiCY",
            "DATABASE_URL": "postgresql://user:opensesame@db/name",
            "F_PRIVATE_KEY": "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\nshort\n-----END KEY-----\n",
        }
    )
    assert set(values) == {
        "abcdef",
        "abcdefghij",
        "/wJalrXUtnFEMI/K7MDENG/bPxRfiCY",
        "opensesame",
        "MIIEvQIBADANBgkqhkiG",
        "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\nshort\n-----END KEY-----",
    }
    assert [len(value) for value in values] == sorted((len(value) for value in values), reverse=True)


@pytest.fixture
def defused() -> dict[str, str]:
    return child_environment({"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"})


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
async def test_git_opens_no_editor_and_no_pager(run: Run, defused: dict[str, str]) -> None:
    identity = {
        "GIT_AUTHOR_NAME": "x",
        "GIT_AUTHOR_EMAIL": "x@x",
        "GIT_COMMITTER_NAME": "x",
        "GIT_COMMITTER_EMAIL": "x@x",
    }
    outcome = await run("git init -q && git commit --allow-empty", timeout=10, variables=defused | identity)
    assert "No editor is available" in outcome.output.text
    assert outcome.exit_code not in {0, None}
    outcome = await run("git commit -q --allow-empty -m first && git log", timeout=10, variables=defused | identity)
    assert outcome.exit_code == 0
    assert "first" in outcome.output.text


@pytest.mark.skipif(not shutil.which("sudo"), reason="sudo is not installed")
async def test_sudo_never_waits(run: Run, defused: dict[str, str]) -> None:
    outcome = await run("sudo -k; sudo -A true; sudo true", timeout=10, variables=defused)
    assert not outcome.timed_out


@pytest.mark.parametrize("variable", ["EDITOR", "VISUAL", "GIT_EDITOR"])
async def test_an_editor_fails_with_a_message(run: Run, defused: dict[str, str], tmp_path: Path, variable: str) -> None:
    outcome = await run(f'sh -c "${variable} {tmp_path}/file"', variables=defused)
    assert outcome.exit_code == 1
    assert outcome.output.text.startswith("No editor is available")
