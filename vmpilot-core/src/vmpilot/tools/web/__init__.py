"""The web tools: one searches, one reads a page. Their libraries (extra `web`) are imported at first use."""

from vmpilot.tools.web._fetch import WebFetch
from vmpilot.tools.web._google import GoogleAccount
from vmpilot.tools.web._search import WebSearch

__all__ = ["GoogleAccount", "WebFetch", "WebSearch"]
