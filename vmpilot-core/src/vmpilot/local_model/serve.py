"""The child process: loads one model, serves it, ends with its standard input. Not for import by anything else.

First line of standard input: the settings as JSON. One line of standard output: `{"address": …}` or `{"error": …}`.
"""

import json
import os
import sys
import threading
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from vmpilot.local_model.gguf import is_qwen_coder

_MOST_TOKENS = 2048  # of one answer where the client names no limit: a small model that repeats itself must end
_PROMPT_CACHE_MEBIBYTES = 1024


def main() -> int:
    """Serve until standard input closes; 1 where the server cannot be had."""
    settings = json.loads(sys.stdin.buffer.readline())
    replies = _take_standard_output()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        xllamacpp = import_module("xllamacpp")
    except ImportError as error:
        _reply(replies, error=f'the local model needs llama.cpp ({error}): pip install "vmpilot-core[local]"')
        return 1
    server = xllamacpp.Server(_parameters(xllamacpp.CommonParams(), settings))
    _reply(replies, address=server.listening_address)
    threading.Event().wait()
    return 0


def _take_standard_output() -> int:
    """Keep standard output for the reply: what the engine prints there goes to standard error."""
    replies = os.dup(1)
    os.dup2(2, 1)
    return replies


def _reply(replies: int, **fields: str) -> None:
    os.write(replies, json.dumps(fields).encode() + b"\n")
    os.close(replies)


def _end_with_parent() -> None:
    """Wait for the parent to close the pipe, or to die; nothing here needs saving."""
    sys.stdin.buffer.read()
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
