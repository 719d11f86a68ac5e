"""Makes shell lines that a policy may get wrong: benign ones, assembled from parts, then mutated.

Whatever names a place outside the workspace in them names one that may be harmed.
"""

from __future__ import annotations

import random
from pathlib import Path

from .benign_lines import CHANGING, READING

_SEPARATORS = [" && ", " || ", "; ", " | ", "\n", "&&", ";", "|", " & ", " |& ", " ;; ", " &\n", "\n\n", " ! "]
_SIGNS = [
    *[
        "'",
        '"',
        "''",
        '""',
        "\\",
        "`",
        "$",
        "$(",
        ")",
        "(",
        "{",
        "}",
        "[",
        "]",
        "<",
        ">",
        ">>",
        "<<",
        "<(",
        ">(",
        ">|",
        "<>",
    ],
    *[
        "2>&1",
        "2>",
        "1>&2",
        ">&2",
        "&>",
        ">/dev/null",
        "2>/dev/null",
        "3>",
        "<<<",
        "<<E\n",
        "#",
        " #",
        "~",
        "~/",
        "!",
        "*",
    ],
    *[
        "?",
        "*.txt",
        "?.txt",
        "[a-z]*",
        "[!a]",
        "[",
        "]",
        "[[ ",
        " ]]",
        "[ -f ",
        " ]",
        "{a,b}",
        "{,.bak}",
        "$HOME",
        '"$HOME"',
        "${HOME}",
        "~/x",
        "$HOME/x",
        "$'a'",
        '$"a"',
        "$x",
        "${x}",
        "$IFS",
        "$((1))",
        "\t",
        "\r",
        "\v",
        "\u00a0",
        "\u202e",
        "\u200b",
    ],
    *[
        "\\\n",
        "\n",
        " ",
        "  ",
        "=",
        "x=",
        "x=1 ",
        "PATH=. ",
        ":",
        ",",
        "%",
        "^",
        "@",
        "+",
        "é",
        "ls\u0301",
        "\x1b[0m",
        "-",
        "--",
    ],
]
_WORDS = [
    *[
        "rm",
        "sh",
        "bash",
        "eval",
        "exec",
        "source",
        ".",
        "sudo",
        "env",
        "xargs",
        "time",
        "command",
        "builtin",
        "nohup",
        "tee",
    ],
    *[
        "cd",
        "cd ..",
        "cd src",
        "cd sub",
        "cd folder_link",
        "cd -",
        "cat",
        "cat link",
        "touch",
        "cp",
        "mv",
        "sed",
        "awk",
        "if",
    ],
    *[
        "then",
        "fi",
        "for",
        "do",
        "done",
        "function",
        "export x=1",
        "set -x",
        "trap",
        "alias",
        "printf",
        "echo",
        "test",
        "true",
    ],
    *[
        "a",
        "b",
        "x",
        "a.txt",
        "src",
        "src/a.py",
        "..",
        "../x",
        ".",
        "./a",
        "link",
        "folder_link",
        "folder_link/id_rsa",
        ".env",
    ],
    *[
        ".git",
        ".git/config",
        "sub/.git/hooks/x",
        "src/*.py",
        "src/l.txt",
        "src/l*.txt",
        ".vscode/x",
        "{outside}/x",
        "{outside}",
    ],
    *[
        "-r",
        "-n",
        "-e",
        "-i",
        "-o",
        "-x",
        "-f",
        "-ie",
        "-exec",
        "-delete",
        "-fprint x",
        "--output=x",
        "--",
        "-",
        "-1",
        "e",
        "1e",
    ],
    *[
        "w x",
        "'s/a/b/w x'",
        "'s/a/b/e'",
        "1,2p",
        "'{print $1}'",
        "'{print > \"x\"}'",
        "+x",
        "-rf",
        "-t",
        "-k",
        "o",
        "'*'",
    ],
]


class LineMaker:
    """An endless supply of lines; a seed always makes the same ones."""

    def __init__(self, seed: int, outside: Path) -> None:
        self._random = random.Random(seed)
        self._outside = str(outside)
        self._lines = [line for line in (*READING, *CHANGING) if "/etc/host" not in line]

    def make_line(self) -> str:
        """A line of one to three benign ones, most of them mutated in one to three places."""
        count = self._random.choice([1, 1, 1, 2, 2, 3])
        line = self._random.choice(self._lines)
        for _ in range(count - 1):
            separator = self._random.choice(_SEPARATORS[:7] if self._random.random() < 0.8 else _SEPARATORS)
            line += separator + self._random.choice(self._lines)
        for _ in range(self._random.choice([0, 1, 1, 1, 2, 2, 3])):
            line = self._mutate(line)
        return line.replace("{outside}", self._outside)

    def _mutate(self, line: str) -> str:
        words = line.split(" ")
        place = self._random.randrange(len(words))
        match self._random.randrange(6):
            case 0:
                words[place] = self._random.choice(_WORDS)
            case 1:
                words.insert(place, self._random.choice(_WORDS))
            case 2:
                words.append(self._random.choice(_WORDS))
            case 3:
                words.pop(place)
            case 4:
                cut = self._random.randrange(len(line) + 1)
                return line[:cut] + self._random.choice(_SIGNS) + line[cut:]
            case _:
                words[place] += self._random.choice(_SIGNS)
        return " ".join(words)
