"""Recognizes unanswerable prompts in a command's output, and suggests what to do instead."""

import re

_EXAMINED = 4_000
_USER = "which cannot be entered here; do not guess one. The user can"

_HINTS = (
    (
        re.compile(r"^sudo: .*(?:password|terminal|askpass|incorrect)", re.MULTILINE),
        f"sudo asked for a password, {_USER} run this command, or allow it without one (NOPASSWD in sudoers)",
    ),
    (
        re.compile(r"^(?:Password: )?su: |passwd: Authentication|^doas: |polkit-agent|pkexec", re.MULTILINE),
        f"it asked for a password, {_USER} run this command, or start VMPilot as a user who may",
    ),
    (
        re.compile(r"terminal prompts disabled|could not read (?:Username|Password)|unable to read askpass"),
        f"git asked for a user name or password, {_USER} set up a credential helper, a token or an SSH key",
    ),
    (
        re.compile(r"^Host key verification failed", re.MULTILINE),
        "ssh does not know the host's key: the user can check it and add it to known_hosts",
    ),
    (
        re.compile(r"Permission denied \((?:[\w-]+,)*(?:publickey|password|keyboard-interactive)"),
        f"ssh asked for a password or key, {_USER} load a key into the SSH agent",
    ),
    (
        re.compile(r"^gpg: .*(?:Inappropriate ioctl|/dev/tty|[Pp]inentry)", re.MULTILINE),
        f"gpg asked for a passphrase, {_USER} unlock the key in gpg-agent first",
    ),
    (
        re.compile(r"(?:pass ?(?:word|phrase|code)|verification code)[^\n]{0,80}:\s*\Z|getpass", re.IGNORECASE),
        f"it asked for a password, {_USER} provide another way to log in (a key, a token, a configuration file)",
    ),
    (
        re.compile(
            r"^Vim: Warning: (?:Out|In)put is not|Error opening terminal|failed tty get|not a tty$", re.MULTILINE
        ),
        "it needs a terminal, and has none here: use a program or option that only prints, and edit files directly",
    ),
    (
        re.compile(
            r"/dev/tty: No such device|EOFError: EOF when reading|(?:^|\] )Abort\.$"
            r"|(?:\[[yYnN]/[yYnN]\]|\((?:y/n|yes/no)[^)\n]*\)|\?|>)[ :]*\Z",
            re.MULTILINE,
        ),
        "it asked a question, which cannot be answered here: give the answer as an option (such as -y) or argument,"
        " pipe it in (`echo … | …`), or ask the user",
    ),
)


def explain_question(output: str) -> str | None:
    """Advice if this output ends with a prompt or a failure to show one, otherwise None."""
    end = output[-_EXAMINED:]
    return next((hint for pattern, hint in _HINTS if pattern.search(end)), None)
