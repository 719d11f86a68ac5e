"""The argument parser of the command line: a tree of `Parser`s, one for each command.

argparse reads the options of one parser. Which parser that is, is decided here, so that options may stand before,
between and after the words of a command. Imports nothing slow.
"""

# ruff: noqa: SLF001  a parser works on the parsers below it, and argparse offers its names to subclasses only
from __future__ import annotations

import argparse
import os
import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

TYPE_CHECKING = False  # see vmpilot/__init__.py
if TYPE_CHECKING:
    from typing import Any, NoReturn

_VERBATIM = "\0"
"""Marks what stood after `--`, so that it is never read as an option. No argument of a program can contain it."""


HELP_TEXT = "Show this help and exit"


class _HelpFormatter(argparse.HelpFormatter):
    """Help like that of git and uv: a short usage line, and commands without an extra heading."""

    def _format_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[argparse._MutuallyExclusiveGroup],
        prefix: str | None,
    ) -> str:
        forms: Mapping[Any, str] = {None: "{}", "?": "[{}]", "+": "{} …", argparse.PARSER: "{} …"}
        if usage is None:
            words = [forms[action.nargs].format(action.metavar) for action in actions if not action.option_strings]
            usage = " ".join(["%(prog)s [options]", *words])
        return super()._format_usage(usage, actions, groups, prefix)

    def _format_action(self, action: argparse.Action) -> str:
        text = super()._format_action(action)
        if action.nargs == argparse.PARSER:
            text = re.sub(r"^    (\S+)", r"  \1  ", text.partition("\n")[2], flags=re.MULTILINE)
        return text

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


class Parser(argparse.ArgumentParser):
    """A command: either its options and words, or the commands below it."""

    def __init__(self, **settings: Any) -> None:
        helps = settings.pop("add_help", True)
        super().__init__(**{"allow_abbrev": False, "add_help": False, "formatter_class": _HelpFormatter, **settings})
        self._positionals.title = "arguments"
        if helps:
            self.add_argument("-h", "--help", action="help", help=HELP_TEXT)
        self._below: argparse._SubParsersAction[Parser] | None = None
        self._announced: dict[str, Callable[[Parser], None]] = {}

    def announce_command(self, name: str, summary: str, add_parser: Callable[[Parser], None]) -> None:
        """List a command in the help; `add_parser` adds it when it is needed, because argparse takes its time."""
        below = self._make_room()
        below._choices_actions.append(below._ChoicesPseudoAction(name, (), summary))
        self._announced[name] = add_parser

    def add_command(self, name: str, summary: str = "", *, description: str = "", add_help: bool = True) -> Parser:
        """Add a command below this one. Its options will have `command` and, for a second word, `action`."""
        settings: dict[str, Any] = {"help": summary} if summary else {}
        parser = self._make_room().add_parser(
            name, description=description or f"{summary}.", add_help=add_help, **settings
        )
        command, *action = [*self.prog.split()[1:], name]
        parser.set_defaults(command=command, action=" ".join(action))
        return parser

    @property
    def names(self) -> Collection[str]:
        """The names of the commands below this one."""
        return self._announced.keys() or self._added.keys()

    def command(self, name: str) -> Parser:
        """The command of this name. Raises `KeyError`."""
        if name not in self._added:
            self._announced[name](self)
        return self._added[name]

    @property
    def commands(self) -> Mapping[str, Parser]:
        """All commands below this one, by name."""
        return {name: self.command(name) for name in self.names}

    def route(self, arguments: Sequence[str]) -> tuple[Parser, list[str], str | None]:
        """The command that the arguments name, all arguments but its words, and the first other word, if any."""
        parser, rest = self, list(arguments)
        while True:
            at = self._find_word(rest) if parser.names else None
            word = None if at is None else rest[at]
            if at is None or word not in parser.names:
                return parser, rest, word
            parser = parser.command(rest.pop(at))

    def read(self, arguments: Sequence[str], verbatim: Sequence[str]) -> argparse.Namespace:
        """The options of this command; `verbatim` are words, whatever they look like. Invalid ones end the program."""
        if self.names:
            self.parse_args(arguments)  # ends the program: the help, or a missing or unknown action
        end = ["--"] if verbatim else []  # an option that lacks its value takes none of the words
        options = self.parse_intermixed_args([*arguments, *end, *(_VERBATIM + word for word in verbatim)])
        for name, value in vars(options).items():
            if name == "words":
                setattr(options, name, [self._as_text(word) for word in value])
            elif isinstance(value, str):
                setattr(options, name, value.removeprefix(_VERBATIM))
            elif isinstance(value, list):
                setattr(options, name, [word.removeprefix(_VERBATIM) for word in value])
        return options

    def takes(self, words: int) -> bool:
        """Whether the command takes this many words, or needs more."""
        counts = [action.nargs for action in self._get_positional_actions()]
        return words <= len(counts) or "*" in counts or "+" in counts

    def error(self, message: str) -> NoReturn:
        """End the program with the usage and the message, which quotes arguments."""
        from vmpilot.cli._style import printable

        command = self.prog.split()[1:2]
        hint = f'\nTo send a request that starts with "{command[0]}": vmpilot ask "{command[0]} …"' if command else ""
        super().error(f"{printable(message.replace(_VERBATIM, ''))}{hint}")

    @property
    def _added(self) -> Mapping[str, Parser]:
        return {} if self._below is None else self._below.choices

    def _make_room(self) -> argparse._SubParsersAction[Parser]:
        if self._below is None:
            kind = "COMMAND" if self.prog == "vmpilot" else "ACTION"
            self._below = self.add_subparsers(
                title=f"{kind.lower()}s", prog=self.prog, metavar=kind, required=True, parser_class=Parser
            )
        return self._below

    def _as_text(self, word: str) -> str:
        """A word of a request, title or search; in a locale without UTF-8 Python keeps its bytes as surrogates."""
        word = word.removeprefix(_VERBATIM)
        if not any("\ud800" <= letter <= "\udfff" for letter in word):
            return word
        try:
            return os.fsencode(word).decode()
        except UnicodeError:
            self.error(f"Not UTF-8 text: {word!r}")

    def _find_word(self, arguments: Sequence[str]) -> int | None:
        """The index of the first argument that is neither an option nor the value of one."""
        is_value = False
        for at, argument in enumerate(arguments):
            if is_value:
                is_value = False
            elif self._is_option(argument):
                is_value = self._wants_value(argument)
            else:
                return at
        return None

    def _is_option(self, argument: str) -> bool:
        """As argparse decides it: "- tidy up" is a word, because it contains a space and names no option."""
        if not argument.startswith("-") or argument == "-":
            return False
        names = (argument.partition("=")[0], argument[:2])
        return " " not in argument or any(self._find_option(name) for name in names)

    def _wants_value(self, argument: str) -> bool:
        """Whether the next argument is its value; in `-dr ID` the first letter that takes a value ends the letters."""
        if argument.startswith("--"):
            option = self._find_option(argument)
            return option is not None and option.nargs != 0
        for at, letter in enumerate(argument[1:], 2):
            option = self._find_option(f"-{letter}")
            if option is not None and option.nargs != 0:
                return at == len(argument)
        return False

    def _find_option(self, name: str) -> argparse.Action | None:
        """The option of this name, of this command or one below it."""
        found = (parser._option_string_actions.get(name) for parser in self._tree())
        return next((action for action in found if action is not None), None)

    def _tree(self) -> Iterator[Parser]:
        yield self
        for name in self.names:
            yield from self.command(name)._tree()
