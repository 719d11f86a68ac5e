"""The environment for commands: nothing waits for input, and secrets are left out. It reads no environment itself."""

import itertools
import re
from collections.abc import Collection, Iterator, Mapping
from urllib.parse import unquote

from vmpilot.contract.secret_values import is_worth_masking

_NO_EDITOR = (
    'sh -c \'echo "No editor is available: pass the text as an argument (git: -m or --no-edit) or edit the file."'
    " >&2; exit 1'"
)

_SETTINGS = {
    # colors, widths, pagers: a program reads the output
    "TERM": "dumb",
    "NO_COLOR": "1",
    "CLICOLOR": "0",
    "PAGER": "cat",
    "MANPAGER": "cat",
    "GIT_PAGER": "cat",
    "GH_PAGER": "cat",
    "SYSTEMD_PAGER": "cat",
    "AWS_PAGER": "",
    "LESS": "-FX",
    # editors fail with a message instead of opening
    "EDITOR": _NO_EDITOR,
    "VISUAL": _NO_EDITOR,
    "GIT_EDITOR": _NO_EDITOR,
    # questions and password prompts fail instead of waiting
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "/bin/false",
    "SSH_ASKPASS": "/bin/false",
    "SSH_ASKPASS_REQUIRE": "never",
    "SUDO_ASKPASS": "/bin/false",
    "GCM_INTERACTIVE": "never",
    "GH_PROMPT_DISABLED": "1",
    "PIP_NO_INPUT": "1",
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    "NEEDRESTART_SUSPEND": "1",
    # what a Python program printed before its time limit is not lost in its buffer, and stays in order
    "PYTHONUNBUFFERED": "1",
    # the LVM tools warn about inherited descriptors, and commands inherit one
    "LVM_SUPPRESS_FD_WARNINGS": "1",
}

# Special editors fall back to the ones above; the rest describes a terminal that commands do not have.
_DROPPED = frozenset(
    {"GIT_SEQUENCE_EDITOR", "SUDO_EDITOR", "KUBE_EDITOR", "HGEDITOR", "SVN_EDITOR", "FCEDIT"}
    | {"COLORTERM", "FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES", "GPG_TTY"}
)

# With these, a shell or its commands may parse a line differently from the permission policy.
_MISLEADING = frozenset(
    # PWD may go through a link, where `..` is another folder; without it, bash asks the kernel
    {"PWD", "OLDPWD", "CDPATH", "GLOBIGNORE", "EXECIGNORE", "FIGNORE", "POSIXLY_CORRECT"}
    | {"BASHOPTS", "SHELLOPTS", "BASH_ENV", "ENV", "BASH_COMPAT", "BASH_LOADABLES_PATH", "BASH_XTRACEFD", "PS4"}
    | {"RIPGREP_CONFIG_PATH"}
)
_FUNCTION = "BASH_FUNC_"

_SECRET_WORDS = frozenset({"KEYS", "SECRETS", "CREDENTIAL", "CREDENTIALS", "PRIVATE", "COOKIE"})
_SECRET_ENDINGS = (
    *("PASSWORD", "PASSWORDS", "PASSWD", "PASSPHRASE", "PASS", "TOKEN", "SECRET", "KEY", "JWT", "DSN"),
    *("WEBHOOKURL", "CONNECTIONSTRING", "CONNECTIONSTRINGS"),
)
_SECRET_PAIRS = frozenset({("WEBHOOK", "URL"), ("CONNECTION", "STRING")})
_SECRET_LAST_WORDS = frozenset({"PAT", "PWD", "AUTH", "WEBHOOK"})
_ORDINARY_WORDS = frozenset(
    {"ASKPASS", "BYPASS", "COMPASS", "ENCOMPASS", "OVERPASS", "SURPASS", "TRESPASS", "UNDERPASS"}
    | {"DONKEY", "HOCKEY", "HOTKEY", "JOCKEY", "LACKEY", "MICKEY", "MONKEY", "TURKEY", "WHISKEY"}
)
"""Words with the ending of a secret that mean something else."""

_PLACE_WORDS = frozenset({"FILE", "PATH", "DIR", "SOCK"})
_WORD = re.compile(r"[A-Z0-9]+")
_PATH_OF_FILE = re.compile(r"[/~][^\n]*\.[A-Za-z]{1,5}")
_PASSWORD_IN_URL = re.compile(r"://[^/:@\s]*:([^/\s]+)@")
_KEY_AS_USER = re.compile(r"://((?=[^/:@\s]*[0-9])[^/:@\s]{16,}):?@")
_SECRET_IN_LIST = re.compile(
    r"(?i)(?:^|[;\s])(?:password|pwd|accountkey|sharedaccesskey)\s*=\s*([^;\s'\"]+|'[^']*'|\"[^\"]*\")"
)
_LONG_LINE = 16


def child_environment(environment: Mapping[str, str], *, let_through: Collection[str] = ()) -> dict[str, str]:
    """The environment for commands, made from `environment`.

    Pagers, editors and prompts are disabled. Variables with secret-looking names, and those with a password in a URL or
    connection string, are left out unless named in `let_through` (exact names). So are exported functions and options
    of a shell, and relative parts of the PATH, so that a shell parses a line as it is written.

    `SSH_AUTH_SOCK` stays: it is not a secret, and git over SSH needs it. `CI` is not set: it changes what too many
    programs do, not only how they ask.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if name not in _DROPPED | _MISLEADING
        and not name.startswith(_FUNCTION)
        and (name in let_through or not _is_secret(name, value))
    }
    return _without_relative_path(kept) | _SETTINGS


def secret_values(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The values to mask in the output of commands, longest first: of secret-looking variables, and passwords in URLs
    and connection strings. Of values of several lines (keys), each long line counts, too; paths of files do not.
    """
    found = set[str]()
    for name, value in environment.items():
        if is_secret_name(name) and not _PATH_OF_FILE.fullmatch(value):
            found.add(value.strip())
            lines = [line for line in value.splitlines() if not line.startswith("-----")]
            if len(value.splitlines()) > 1:
                found.update(line.strip() for line in lines if len(line.strip()) >= _LONG_LINE)
        found.update(_find_passwords(value))
    return tuple(sorted(filter(is_worth_masking, found), key=lambda value: (-len(value), value)))


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name probably holds a secret.

    Words and their endings decide (`API_KEY`, `OPENAIKEY`, not `KEYBOARD` or `MONKEY`; `HF_TOKEN`, not
    `MAX_TOKENS`); a name that ends in `_FILE`, `_PATH`, `_DIR` or `_SOCK` only says where something is.
    """
    words = _WORD.findall(name.upper())
    if not words or words[-1] in _PLACE_WORDS:
        return False
    if len(words) > 1 and words[-1] in _SECRET_LAST_WORDS:
        return True
    if _SECRET_PAIRS.intersection(itertools.pairwise(words)):
        return True
    return any(word in _SECRET_WORDS or word.endswith(_SECRET_ENDINGS) for word in {*words} - _ORDINARY_WORDS)


def _is_secret(name: str, value: str) -> bool:
    return is_secret_name(name) or any(map(is_worth_masking, _find_passwords(value)))


def _find_passwords(value: str) -> Iterator[str]:
    """The passwords in URLs, also without percent-encoding, and in connection strings."""
    for found in (*_PASSWORD_IN_URL.findall(value), *_KEY_AS_USER.findall(value)):
        yield from (found, unquote(found))
    yield from (found.strip("'\"") for found in _SECRET_IN_LIST.findall(value))


def _without_relative_path(environment: Mapping[str, str]) -> dict[str, str]:
    """A relative or empty part of the PATH means the working folder, which may contain an `ls`."""
    kept = ":".join(part for part in environment.get("PATH", "").split(":") if part.startswith("/"))
    return {name: value for name, value in environment.items() if name != "PATH"} | ({"PATH": kept} if kept else {})
