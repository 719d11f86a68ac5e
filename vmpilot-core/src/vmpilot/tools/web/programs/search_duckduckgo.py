"""The program that searches without a key; it runs in a separate process without VMPilot.

It turns `{"query", "count", "engine", "seconds", "proxy", "certificates"}` into `{"results": [{"title", "href",
"body"}]}` or `{"problem"}`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

NO_RESULTS = "No results found."


def search(task: dict[str, Any]) -> dict[str, Any]:
    from ddgs import DDGS
    from ddgs.exceptions import DDGSException

    engine = DDGS(proxy=task["proxy"], timeout=task["seconds"], verify=task["certificates"] or True)
    try:
        return {"results": engine.text(task["query"], max_results=task["count"], backend=task["engine"])}
    except DDGSException as error:
        return {"results": []} if str(error) == NO_RESULTS else {"problem": str(error)[:500]}


if __name__ == "__main__":
    json.dump(search(json.load(sys.stdin)), sys.stdout)
