"""The server process: its arguments, its failures, and that it never outlives its parent."""

import asyncio
import json
import os
import select
import signal
import sys
import threading
from pathlib import Path

import pytest

from vmpilot.local_model import LocalModelError, LocalServer, Progress, check_engine

from .conftest import gguf_bytes

ENGINE = """
import json, os, sys, threading
from types import SimpleNamespace

class CommonParams(SimpleNamespace):
    def __init__(self):
        super().__init__(model=SimpleNamespace(), cpuparams=SimpleNamespace(), chat_template="")

class Server:
    listening_address = "http://127.0.0.1:4321"
    def __init__(self, params):
        {load}
"""
REPORT = """
        told = {**vars(params), "model": vars(params.model), "cpuparams": vars(params.cpuparams)}
        told = {"settings": told, "environment": dict(os.environ), "command": sys.orig_argv}
        open(HERE + "/told.json", "w").write(json.dumps(told, default=list))
"""
TELL_AND_HANG = """
        open(HERE + "/pid", "w").write(str(os.getpid()))
        threading.Event().wait()
"""
TELL_AND_HOLD = """
        import ctypes
        open(HERE + "/pid", "w").write(str(os.getpid()))
        ctypes.PyDLL(None).pause()
"""
START_SCRIPT = """
import asyncio, sys
from pathlib import Path
from vmpilot.local_model import LocalServer

async def main():
    environment = {"PYTHONPATH": sys.argv[2]}
    server = await LocalServer.start(Path(sys.argv[1]), progress=lambda value: None, environment=environment)
    print(server._child.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def ignore(_: Progress) -> None:
    pass


def write_engine(folder: Path, load: str = "pass") -> dict[str, str]:
    """Replace xllamacpp by this engine for the child; return the environment in which it is found."""
    body = load.replace("HERE", repr(str(folder))).strip()
    (folder / "xllamacpp.py").write_text(ENGINE.replace("{load}", body))
    return {"PYTHONPATH": str(folder)}


def write_model(path: Path, fields: dict[str, str]) -> None:
    path.write_bytes(gguf_bytes(fields))


def children() -> set[str]:
    """The processes that this thread has started and that have not been waited for."""
    return set(Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split())


def wait_for(descriptor: int) -> None:
    """Return when there is something to read; a TimeoutError after ten seconds."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(10_000):
        raise TimeoutError("nothing came")


def read_pid(fifo: Path) -> int:
    """The process id that an engine writes into `fifo` when it begins to load."""
    descriptor = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        wait_for(descriptor)
        return int(os.read(descriptor, 100))
    finally:
        os.close(descriptor)


def wait_for_end(pid: int) -> None:
    """Return when the process, whosever child it is, has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        wait_for(descriptor)
    finally:
        os.close(descriptor)


async def test_it_starts_and_stops(tmp_path: Path, model_file: Path, seen: list[Progress]) -> None:
    server = await LocalServer.start(model_file, progress=seen.append, environment=write_engine(tmp_path))
    assert server.base_url == "http://127.0.0.1:4321/v1"
    assert server.model == "tiny"
    assert seen == [Progress("loading the model")]
    was_running = server.running
    await server.stop()
    assert (was_running, server.running) == (True, False)
    await server.stop()


async def test_arguments_of_the_engine(tmp_path: Path, model_file: Path) -> None:
    environment = {**write_engine(tmp_path, REPORT), "OPENAI_API_KEY": "sk-secret", "OMP_WAIT_POLICY": "active"}
    server = await LocalServer.start(model_file, progress=ignore, context_size=2048, threads=3, environment=environment)
    await server.stop()
    told = json.loads((tmp_path / "told.json").read_text())
    settings = told["settings"]
    assert settings["model"] == {"path": str(model_file)}
    assert settings["model_alias"] == ["tiny"]
    assert (settings["hostnames"], settings["port"]) == (["127.0.0.1"], 0)
    assert (settings["n_ctx"], settings["n_parallel"], settings["cpuparams"]) == (2048, 1, {"n_threads": 3})
    assert settings["api_keys"] == [server.api_key]
    assert told["environment"]["OMP_WAIT_POLICY"] == "passive"
    assert "OPENAI_API_KEY" not in told["environment"]
    assert server.api_key not in " ".join([*told["command"], *told["environment"].values(), repr(server)])


@pytest.mark.parametrize(
    ("fields", "ours"),
    [
        ({"general.architecture": "qwen2", "general.name": "Qwen2.5 Coder 1.5B Instruct GGUF"}, True),
        ({"general.architecture": "qwen2", "general.basename": "Qwen2.5-Coder"}, True),
        ({"general.architecture": "qwen2", "general.name": "Qwen2.5 7B Instruct"}, False),
        ({"general.architecture": "llama", "general.name": "Some Coder"}, False),
    ],
)
async def test_only_a_model_of_the_known_family_gets_our_template(
    tmp_path: Path, model_file: Path, fields: dict[str, str], ours: bool
) -> None:
    write_model(model_file, fields)
    server = await LocalServer.start(model_file, progress=ignore, environment=write_engine(tmp_path, REPORT))
    await server.stop()
    template = json.loads((tmp_path / "told.json").read_text())["settings"]["chat_template"]
    assert ("```json" in template) == ours
    assert bool(template) == ours


async def test_output_of_the_engine_is_not_a_reply(tmp_path: Path, model_file: Path) -> None:
    environment = write_engine(tmp_path, 'os.write(1, b"{} loading\\n"); print("more", flush=True)')
    server = await LocalServer.start(model_file, progress=ignore, environment=environment)
    assert server.base_url == "http://127.0.0.1:4321/v1"
    await server.stop()


async def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(LocalModelError, match=r"There is no model file at .*none\.gguf"):
        await LocalServer.start(tmp_path / "none.gguf", progress=ignore)


async def test_a_file_that_is_not_gguf(tmp_path: Path) -> None:
    (tmp_path / "page.gguf").write_text("<html>")
    with pytest.raises(LocalModelError, match=r"page\.gguf is not a GGUF file"):
        await LocalServer.start(tmp_path / "page.gguf", progress=ignore)


async def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(LocalModelError, match=r"Cannot read the model file .*: Is a directory"):
        await LocalServer.start(tmp_path, progress=ignore)


def test_the_engine_is_checked_before_weights_are_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(LocalModelError, match=r"install .*vmpilot-core\[local\]"):
        check_engine()


async def test_a_missing_engine_says_what_to_install(tmp_path: Path, model_file: Path) -> None:
    (tmp_path / "xllamacpp.py").write_text("raise ModuleNotFoundError(\"No module named 'xllamacpp'\")")
    with pytest.raises(LocalModelError, match=r"install .*vmpilot-core\[local\]"):
        await LocalServer.start(model_file, progress=ignore, environment={"PYTHONPATH": str(tmp_path)})


async def test_death_while_loading_is_reported_with_the_last_output(tmp_path: Path, model_file: Path) -> None:
    """The output before that is far larger than a pipe: unread, it would block the child forever."""
    load = 'sys.stderr.write("noise\\n" * 200_000 + "tensor 7 is broken\\n"); sys.stderr.flush(); os._exit(3)'
    with pytest.raises(
        LocalModelError, match=r"while loading .*tiny\.gguf: exit status 3: .*tensor 7 is broken$"
    ) as caught:
        await LocalServer.start(model_file, progress=ignore, environment=write_engine(tmp_path, load))
    assert len(str(caught.value)) < 1000


async def test_an_exception_while_loading_is_reported(tmp_path: Path, model_file: Path) -> None:
    environment = write_engine(tmp_path, 'raise RuntimeError("failed to load the model")')
    with pytest.raises(LocalModelError, match="RuntimeError: failed to load the model"):
        await LocalServer.start(model_file, progress=ignore, environment=environment)


async def test_loading_times_out(tmp_path: Path, model_file: Path) -> None:
    environment = write_engine(tmp_path, TELL_AND_HANG)
    before = children()
    with pytest.raises(LocalModelError, match=r"did not load within 0\.2 s"):
        await LocalServer.start(model_file, progress=ignore, environment=environment, load_timeout=0.2)
    assert children() <= before


async def test_canceling_the_start_ends_the_child(tmp_path: Path, model_file: Path) -> None:
    os.mkfifo(tmp_path / "pid")
    environment = write_engine(tmp_path, TELL_AND_HANG)
    start = asyncio.create_task(LocalServer.start(model_file, progress=ignore, environment=environment))
    pid = await asyncio.to_thread(read_pid, tmp_path / "pid")
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    wait_for_end(pid)


async def test_an_engine_that_blocks_the_interpreter_ends_with_its_parent(tmp_path: Path, model_file: Path) -> None:
    os.mkfifo(tmp_path / "pid")
    write_engine(tmp_path, TELL_AND_HOLD)
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", START_SCRIPT, str(model_file), str(tmp_path))
    pid = await asyncio.to_thread(read_pid, tmp_path / "pid")
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    await asyncio.to_thread(wait_for_end, pid)


async def test_the_child_ends_with_a_killed_parent(tmp_path: Path, model_file: Path) -> None:
    write_engine(tmp_path)
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", START_SCRIPT, str(model_file), str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    os.kill(pid, 0)
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    await asyncio.to_thread(wait_for_end, pid)


async def test_a_child_that_dies_later_is_detected(tmp_path: Path, model_file: Path) -> None:
    server = await LocalServer.start(model_file, progress=ignore, environment=write_engine(tmp_path))
    os.kill(server._child.pid, signal.SIGKILL)
    await server._child.wait()
    assert not server.running
    await server.stop()
