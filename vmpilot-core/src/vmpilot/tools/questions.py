"""What a command's output says of a question that nobody could answer, and what the model is to do instead."""

import re

_LOOKED_AT = 4_000
_ASK = "None can be given here, so do not try any: ask the user to run this himself, or to"

_HINTS = (
    (
        re.compile(r"^sudo: .*(?:password|terminal|askpass|incorrect)", re.MULTILINE),
        f"sudo wanted a password. {_ASK} let it run without one (NOPASSWD in sudoers)",
    ),
    (
        re.compile(r"^(?:Password: )?su: |passwd: Authentication|^doas: |polkit-agent|pkexec", re.MULTILINE),
        f"it wanted a password. {_ASK} start VMPilot as a user who may do it",
    ),
    (
        re.compile(r"terminal prompts disabled|could not read (?:Username|Password)|unable to read askpass"),
        f"git wanted a name and a password. {_ASK} set up a credential helper, a token or an SSH key",
    ),
    (
        re.compile(r"^Host key verification failed", re.MULTILINE),
        "ssh could not ask whether to trust the host: let the user check its key and add it to known_hosts",
    ),
    (
        re.compile(r"Permission denied \((?:[\w-]+,)*(?:publickey|password|keyboard-interactive)"),
        f"ssh wanted a password or a key that it has not. {_ASK} load a key into the SSH agent",
    ),
    (
        re.compile(r"^gpg: .*(?:Inappropriate ioctl|/dev/tty|[Pp]inentry)", re.MULTILINE),
        f"gpg wanted a passphrase. {_ASK} unlock the key in gpg-agent first",
    ),
    (
        re.compile(r"(?:pass ?(?:word|phrase|code)|verification code)[^\n]{0,80}:\s*\Z|getpass", re.IGNORECASE),
        f"it wanted a password. {_ASK} provide another way to log in (a key, a token, a configuration file)",
    ),
    (
        re.compile(
            r"^Vim: Warning: (?:Out|In)put is not|Error opening terminal|failed tty get|not a tty$", re.MULTILINE
        ),
        "it wanted a terminal, and there is none: use a program or an option that only prints, and edit files directly",
    ),
    (
        re.compile(
            r"/dev/tty: No such device|EOFError: EOF when reading|(?:^|\] )Abort\.$"
            r"|(?:\[[yYnN]/[yYnN]\]|\((?:y/n|yes/no)[^)\n]*\)|\?|>)[ :]*\Z",
            re.MULTILINE,
        ),
        "it asked something, and nobody can answer: give the answer as an option (such as -y) or an argument, write it"
        " into a pipe (`echo … | …`), or ask the user",
    ),
)


def explain_question(output: str) -> str | None:
    """Give a sentence for the model if the end of this output is a question or a failure to ask one."""
    end = output[-_LOOKED_AT:]
    return next((hint for pattern, hint in _HINTS if pattern.search(end)), None)
