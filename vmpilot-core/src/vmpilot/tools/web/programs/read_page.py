"""The program that converts HTML; it runs in a separate process without VMPilot.

It turns `{"html", "url"}` into `{"title", "text", "whole"}`: Markdown of the main text, or all text if there is no
main text (`whole` is true).
"""

from __future__ import annotations

import copy
import json
import re
import sys
from typing import Any

MOST = 2_000_000
"""Characters of Markdown."""

SHORTEST = 60
"""Characters of a main text; the library's default of 250 would strip the format of short pages."""

_HIDDEN = "//body//*[@hidden or contains(translate(@style, ' ', ''), 'display:none')]"

_HEADING_ANCHOR = re.compile(r"\[[¶#]\]\([^()\s]*\)")
"""The link to itself that documentation puts after each heading."""


def read_page(html: str, url: str) -> dict[str, str | bool]:
    import trafilatura

    tree = trafilatura.load_html(html)
    if tree is None:
        return {"title": "", "text": "", "whole": True}
    for hidden in tree.xpath(_HIDDEN):
        hidden.drop_tree()
    title = " ".join((tree.findtext(".//title") or "").split())[:300]
    if text := _extract(copy.deepcopy(tree), url):
        return {"title": title, "text": _HEADING_ANCHOR.sub("", text)[:MOST], "whole": False}
    return {"title": title, "text": trafilatura.html2txt(tree)[:MOST], "whole": True}


def _extract(tree: Any, url: str) -> str | None:
    import trafilatura
    from trafilatura.settings import use_config

    config = use_config()
    config.set("DEFAULT", "MIN_EXTRACTED_SIZE", str(SHORTEST))
    return trafilatura.extract(
        tree, url=url, output_format="markdown", include_links=True, favor_recall=True, config=config
    )


if __name__ == "__main__":
    task = json.load(sys.stdin)
    json.dump(read_page(task["html"], task["url"]), sys.stdout)
