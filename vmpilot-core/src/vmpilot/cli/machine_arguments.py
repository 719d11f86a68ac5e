"""The commands about this installation: `tools`, `config`, `cache`, `doctor`, `trust` and `distrust`."""

from __future__ import annotations

from vmpilot.cli.parser import Parser
from vmpilot.cli.request_arguments import add_debug, add_folder, add_format, add_settings


def fill_tools(parser: Parser) -> None:
    """The options of a request: what is shown is what would hold for such a request."""
    add_settings(parser)
    add_format(parser)
    add_debug(parser)


fill_doctor = fill_tools


def fill_config(config: Parser) -> None:
    """The actions of `vmpilot config`."""
    config.add_command("show", "each setting, its value and its origin", fill_tools, run=("listing", "show_settings"))
    config.add_command("path", "where your configuration file is", add_debug, run=("listing", "show_user_file"))
    config.add_command("set", "set a key of your configuration file", _fill_set, run=("configure", "set_key"))
    config.add_command("unset", "remove a key from your configuration file", _fill_key, run=("configure", "unset_key"))


def _fill_key(parser: Parser) -> None:
    parser.add_argument("key", metavar="KEY", help="a setting, such as backend, model or mode")
    add_folder(parser)
    add_debug(parser)


def _fill_set(parser: Parser) -> None:
    _fill_key(parser)
    parser.add_argument("value", metavar="VALUE", help="text or TOML; - reads it from standard input")


def fill_cache(cache: Parser) -> None:
    """The actions of `vmpilot cache`."""
    cache.add_command("stats", "what the cache holds", _fill_cache_action, run=("cache", "show_stats"))
    cache.add_command("clear", "delete all cached answers", _fill_cache_action, run=("cache", "clear_cache"))


def _fill_cache_action(parser: Parser) -> None:
    parser.add_argument("--cache", metavar="WHERE", help="disk or redis://… (the configured one)")
    add_folder(parser)
    add_format(parser)
    add_debug(parser)


def fill_trust(parser: Parser) -> None:
    """The folder of `vmpilot trust` and `vmpilot distrust`."""
    parser.add_argument("folder", nargs="?", metavar="DIR", help="a folder of the project (this one)")
    add_folder(parser)
    add_debug(parser)


fill_distrust = fill_trust
