"""The argument parser that the whole command line is built from: a tree of `Parser`, one for each command.

`argparse` reads the options of one parser; which parser that is, is decided here, so that options may stand before,
between and behind the words of a command. Imports nothing that is slow.
"""

# ruff: noqa: SLF001  a parser works on the parsers below it, and argparse offers its names to subclasses only
from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

TYPE_CHECKING = False  # see vmpilot/__init__.py
if TYPE_CHECKING:
    from typing import Any, NoReturn

_VERBATIM = "\0"
"""Marks what stood behind `--`, so that it is never read as an option. No argument of a program can hold it."""


class Parser(argparse.ArgumentParser):
    """A command: either its options and words, or the commands below it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})
        self._fill: Callable[[Parser], None] | None = None
        self._promised: dict[str, Callable[[], Parser]] = {}
        self._commands: dict[str, Parser] = {}
        self._below: argparse._SubParsersAction[Parser] | None = None

    @property
    def names(self) -> Collection[str]:
        """The names of the commands below this one."""
        self._fill_in()
        return self._promised.keys()

    def command(self, name: str) -> Parser:
        """The command of this name. Raises `KeyError`."""
        self._fill_in()
        if name not in self._commands:
            self._commands[name] = self._promised[name]()
        return self._commands[name]

    @property
    def commands(self) -> Mapping[str, Parser]:
        """All commands below this one, by name."""
        return {name: self.command(name) for name in self.names}

    def add_command(
        self, name: str, summary: str, fill: Callable[[Parser], None], *, run: tuple[str, str] | None = None
    ) -> None:
        """Add a command below this one; `run` is the module in `vmpilot.cli` and the function that carries it out.

        `fill` adds its options and words, or its commands. Its parser is made and filled when it is needed, because
        argparse takes a millisecond for five of them. The options have `command` and, for a second word, `action`.
        """
        if self._below is None:
            kind = "COMMAND" if self.prog == "vmpilot" else "ACTION"
            self._below = self.add_subparsers(
                title=f"{kind.lower()}s", prog=self.prog, metavar=kind, required=True, parser_class=Parser
            )
        below = self._below
        below._choices_actions.append(below._ChoicesPseudoAction(name, (), summary))  # its line in the help

        def make() -> Parser:
            parser = below.add_parser(name, description=f"{summary[0].upper()}{summary[1:]}.")
            parser._fill = fill
            command, *action = [*self.prog.split()[1:], name]
            parser.set_defaults(run=run, command=command, action=" ".join(action))
            return parser

        self._promised[name] = make

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
        """The options of this command; `verbatim` are words, whatever they look like. Wrong ones end the program."""
        if self.commands:  # all of them, for the list of choices
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

    def _as_text(self, word: str) -> str:
        """A word of a request, title or search; in a locale without UTF-8 Python keeps its bytes as surrogates."""
        word = word.removeprefix(_VERBATIM)
        if not any("\ud800" <= letter <= "\udfff" for letter in word):
            return word
        try:
            return os.fsencode(word).decode()
        except UnicodeError:
            self.error(f"not UTF-8 text: {word!r}")

    def takes(self, words: int) -> bool:
        """Whether the command takes as many words, or fewer than it needs."""
        self._fill_in()
        places = [action.nargs for action in self._get_positional_actions()]
        return words <= len(places) or "*" in places or "+" in places

    def error(self, message: str) -> NoReturn:
        """End the program with the usage and the message, which quotes arguments."""
        from vmpilot.cli._style import printable

        command = self.prog.split()[1:2]
        hint = f'\nTo send a request that begins with "{command[0]}": vmpilot ask "{command[0]} …"' if command else ""
        super().error(f"{printable(message.replace(_VERBATIM, ''))}{hint}")

    def _fill_in(self) -> None:
        if self._fill is not None:
            fill, self._fill = self._fill, None
            fill(self)
            if self.usage is None:
                self.usage = " ".join([self.prog, "[options]", *map(_usage, self._get_positional_actions())])

    def _find_word(self, arguments: Sequence[str]) -> int | None:
        """Where the first argument is that is neither an option nor the value of one."""
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
        """As argparse decides it: "- tidy up" is a word, because it holds a space and names no option."""
        if not argument.startswith("-") or argument == "-":
            return False
        names = (argument.partition("=")[0], argument[:2])
        return " " not in argument or any(self._find_option(name) for name in names)

    def _wants_value(self, argument: str) -> bool:
        """Whether the next argument belongs to it; in `-dr ID` the first letter that takes a value ends the letters."""
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
        self._fill_in()
        yield self
        for command in self.commands.values():
            yield from command._tree()


def _usage(place: argparse.Action) -> str:
    forms = {None: "{}", "?": "[{}]", "+": "{} …", argparse.PARSER: "{} …"}
    return forms[place.nargs].format(place.metavar)  # type: ignore[index]
