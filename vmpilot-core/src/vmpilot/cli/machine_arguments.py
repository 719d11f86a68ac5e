"""The commands about this installation: `tools`, `config`, `jobs`, `cache`, `doctor`, `trust` and `distrust`."""

from __future__ import annotations

from vmpilot.cli._options import add_debug, add_folder, add_format, add_settings
from vmpilot.cli._parser import Parser


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


def fill_jobs(jobs: Parser) -> None:
    """The actions of `vmpilot jobs`."""
    jobs.add_command("list", "running jobs, and the last that ended", _fill_job_list, run=("jobs", "list_jobs"))
    jobs.add_command("log", "print what a job has printed", _fill_job_log, run=("jobs", "show_output"))
    jobs.add_command("stop", "end a job with all its processes", _fill_job, run=("jobs", "stop_job"))


def _fill_job_list(parser: Parser) -> None:
    add_format(parser)
    add_debug(parser)


def _fill_job(parser: Parser) -> None:
    parser.add_argument("id", type=int, metavar="ID", help="the number of the job")
    add_debug(parser)


def _fill_job_log(parser: Parser) -> None:
    _fill_job(parser)
    parser.add_argument("-n", "--lines", type=int, metavar="N", help="the last N lines only")


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
