"""The child process: loads one model, serves it, and exits when its standard input closes. Nothing imports it.

First line of standard input: the settings as JSON. One line of standard output: `{"address": …}` or `{"error": …}`.
"""

import fcntl
import json
import os
import signal
import sys
import threading
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from vmpilot.installation import install_command
from vmpilot.local_model._gguf import is_qwen_coder

_MOST_TOKENS = 2048  # of one answer, if the client sets no limit: a small model may repeat itself forever
_PROMPT_CACHE_MEBIBYTES = 1024
_WARNINGS = 2  # llama.cpp's log levels: 3 would write several lines for every request


def main() -> int:
    """Serve until standard input closes; 1 if the engine is not installed."""
    settings = json.loads(sys.stdin.buffer.readline())
    replies = _take_standard_output()
    _end_with_parent()
    sys.tracebacklimit = 0  # the parent shows the last lines: the engine's messages, not our frames
    try:
        xllamacpp = import_module("xllamacpp")
    except ImportError as error:
        _reply(
            replies, error=f"The local model needs llama.cpp ({error}). Run `{install_command('vmpilot-core[local]')}`."
        )
        return 1
    server = xllamacpp.Server(_parameters(xllamacpp.CommonParams(), settings))
    _reply(replies, address=server.listening_address)
    threading.Event().wait()
    return 0


def _take_standard_output() -> int:
    """Keep standard output for the reply; what the engine prints goes to standard error."""
    replies = os.dup(1)
    os.dup2(2, 1)
    return replies


def _reply(replies: int, **fields: str) -> None:
    os.write(replies, json.dumps(fields).encode() + b"\n")
    os.close(replies)


def _end_with_parent() -> None:
    """Exit when the parent closes standard input, on purpose or because it died.

    Both ways are needed: while the engine loads, it holds the GIL and no Python thread runs, but SIGIO, which ends the
    process by default, does not depend on one. The thread sees an end that came before SIGIO was requested.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    threading.Thread(target=_wait_for_end, daemon=True).start()


def _wait_for_end() -> None:
    # Not through sys.stdin: its lock, if held when the interpreter exits, makes it crash.
    while os.read(0, 1024):
        pass
    os._exit(0)


def _parameters(parameters: Any, settings: dict[str, Any]) -> Any:
    """Fill xllamacpp's `CommonParams`: https://github.com/xorbitsai/xllamacpp."""
    parameters.model.path = settings["weights"]
    parameters.model_alias = {settings["model"]}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [settings["api_key"]]
    parameters.n_ctx = settings["context_size"]
    parameters.n_parallel = 1
    parameters.n_predict = _MOST_TOKENS
    parameters.cache_ram_mib = _PROMPT_CACHE_MEBIBYTES
    parameters.offline = True
    parameters.verbosity = _WARNINGS
    parameters.ui = False
    parameters.endpoint_slots = False
    parameters.use_jinja = True
    if settings["threads"] is not None:
        parameters.cpuparams.n_threads = settings["threads"]
    if is_qwen_coder(Path(settings["weights"])):
        parameters.chat_template = files("vmpilot.local_model").joinpath("qwen_coder.jinja").read_text(encoding="utf-8")
    return parameters


if __name__ == "__main__":
    sys.exit(main())
