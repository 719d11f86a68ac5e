"""Masks tokens and private keys by their well-known shapes, also in text that is streamed.

The shapes are those that the issuers publish for secret scanning: a fixed prefix, then a long run of characters. Keys
without a prefix (Mistral, Cohere, AI21, older Azure keys) are recognized by the name before them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from vmpilot.contract.secret_values import is_worth_masking

MASK = "[masked]"

_MIXED = r"(?=[a-z_-]{0,60}[A-Z0-9])"
"""CSS classes and program names are lowercase without digits; tokens are not."""
_DIGIT = r"(?=[A-Za-z_-]{0,40}[0-9])"
_END = r"(?![A-Za-z0-9_-])"

SHAPES = {
    # models
    "OpenAI, Anthropic, OpenRouter, DeepSeek, Moonshot, DashScope": rf"sk-{_MIXED}[A-Za-z0-9_-]{{20,}}",
    "OpenAI session": r"sess-[A-Za-z0-9]{40}",
    "Google API": r"AIza[A-Za-z0-9_-]{35}",
    "Google authorization key": r"AQ\.Ab[A-Za-z0-9_-]{40,}",
    "Google OAuth": r"ya29\.[A-Za-z0-9_-]{20,}",
    "Google OAuth refresh": r"1//0[A-Za-z0-9_-]{40,}",
    "Google OAuth client": r"GOCSPX-[A-Za-z0-9_-]{28}",
    "Groq": r"gsk_[A-Za-z0-9]{40,}",
    "xAI": r"xai-[A-Za-z0-9]{40,}",
    "Perplexity": r"pplx-[A-Za-z0-9]{40,}",
    "NVIDIA": r"nvapi-[A-Za-z0-9_-]{40,}",
    "Hugging Face": r"hf_[A-Za-z0-9]{30,}",
    "Hugging Face organization": r"api_org_[A-Za-z0-9]{30,}",
    "Replicate": r"r8_[A-Za-z0-9]{37}",
    "Fireworks": rf"fw_{_DIGIT}[A-Za-z0-9]{{20,}}{_END}",
    "Together": r"tgp_v1_[A-Za-z0-9_-]{40,}",
    "Cerebras": r"csk-[A-Za-z0-9]{40,}",
    "Voyage": rf"pa-{_MIXED}[A-Za-z0-9_-]{{43}}{_END}",
    "ElevenLabs": rf"sk_[0-9a-f]{{48}}{_END}",
    "Jina": r"jina_[A-Za-z0-9_-]{50,}",
    "Tavily": r"tvly-(?:dev-|prod-)?[A-Za-z0-9]{30,}",
    "Firecrawl": rf"fc-[0-9a-f]{{32}}{_END}",
    "E2B": r"e2b_[0-9a-f]{40}",
    "LangSmith": r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}",
    "Weights & Biases": r"wandb_v1_[A-Za-z0-9_-]{40,}",
    "Pinecone": r"pcsk_[A-Za-z0-9_]{50,}",
    "Vercel": rf"vc[kpiar]_{_DIGIT}[A-Za-z0-9]{{24,}}",
    # clouds
    "Amazon": r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9_])",
    "Amazon Bedrock": r"ABSK[A-Za-z0-9+/]{100,}={0,2}",
    "Amazon Bedrock, short-term": r"bedrock-api-key-[A-Za-z0-9+/]{40,}={0,2}",
    "Azure client secret": rf"[A-Za-z0-9_~.]{{3}}[0-9]Q~[A-Za-z0-9_~.-]{{31,34}}{_END}",
    "Azure storage": r"[A-Za-z0-9/+]{76}\+ASt[A-Za-z0-9/+]{5}[AQgw]==",
    "Azure AI": r"[A-Za-z0-9]{52}JQQJ9[A-Za-z0-9]{20,30}",
    "Azure DevOps": r"[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}",
    "Alibaba": rf"LTAI[A-Za-z0-9]{{12,20}}{_END}",
    "Tencent": rf"AKID[A-Za-z0-9]{{32}}{_END}",
    "Yandex": rf"AQVN[A-Za-z0-9_-]{{35,38}}{_END}",
    "DigitalOcean": r"do[oprt]_v1_[0-9a-f]{64}",
    "Heroku": r"HRKU-AA[A-Za-z0-9_-]{50,}",
    "Fly.io": r"f(?:o1|m1[ar]|m2)_[A-Za-z0-9_+/=-]{40,}",
    "Netlify": r"nf[pcoub]_[A-Za-z0-9]{36}",
    "Render": rf"rnd_{_DIGIT}[A-Za-z0-9]{{28,}}",
    "Cloudflare origin CA": r"v1\.0-[0-9a-f]{24}-[0-9a-f]{146}",
    "Pulumi": r"pul-[0-9a-f]{40}",
    "Terraform Cloud": r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,}",
    "Vault": r"hv[sbr]\.[A-Za-z0-9_-]{24,}",
    "Doppler": r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{1,40}\.)?[A-Za-z0-9]{40,}",
    "1Password": r"ops_eyJ[A-Za-z0-9+/_-]{100,}={0,2}",
    "Tailscale": r"tskey-[a-z]{3,8}-[A-Za-z0-9]{8,}-[A-Za-z0-9]{16,}",
    # code and packages
    "GitHub": r"gh[pousr]_[A-Za-z0-9]{36,}",
    "GitHub fine-grained": r"github_pat_[A-Za-z0-9_]{22,}",
    "GitLab": (
        r"gl(?:pat|dt|rt|rtr|cbt|ptt|ft|imt|agent|soat|ffct|oas|wt)-"
        r"[A-Za-z0-9_-]{20,}(?:\.[0-9a-z]{2}\.[0-9a-z]{7,9})?"
    ),
    "GitLab runner registration": r"GR1348941[A-Za-z0-9_-]{20,}",
    "Bitbucket": rf"ATBB[A-Za-z0-9]{{32}}{_END}",
    "Atlassian": r"AT(?:ATT|CTT|STT)3x[A-Za-z0-9_=-]{60,}",
    "npm": r"npm_[A-Za-z0-9]{36,}",
    "PyPI": r"pypi-[A-Za-z0-9_-]{50,}",
    "RubyGems": r"rubygems_[0-9a-f]{48}",
    "crates.io": rf"cio[A-Za-z0-9]{{32}}{_END}",
    "NuGet": rf"oy2[a-z0-9]{{43}}{_END}",
    "Clojars": r"CLOJARS_[A-Za-z0-9]{60}",
    "Docker Hub": r"dckr_[po]at_[A-Za-z0-9_-]{27,}",
    "Artifactory": rf"(?:AKCp[A-Za-z0-9]{{69}}|cmVmdGtuO[A-Za-z0-9]{{55}}){_END}",
    "CircleCI": r"CCIP(?:AT|RJ)_[A-Za-z0-9]{22}_[0-9a-f]{40}",
    "Buildkite": r"bk[uatr]{1,2}_[0-9a-f]{40}",
    "SonarQube": rf"sq[apu]_[0-9a-f]{{40}}{_END}",
    "Postman": r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}",
    "Sentry": r"sntry[su]_[A-Za-z0-9+/=_-]{60,}",
    "Grafana": r"gl(?:c_[A-Za-z0-9+/]{32,}={0,2}|sa_[A-Za-z0-9]{32}_[0-9a-f]{8})",
    "Grafana, older": r"eyJrIjoi[A-Za-z0-9]{70,}={0,2}",
    "New Relic": r"NR(?:AK|II|JS|RA|IQ)-[A-Za-z0-9_-]{19,}",
    "Dynatrace": r"dt0c01\.[A-Z0-9]{24}\.[A-Z0-9]{64}",
    "PostHog": r"ph[xs]_[A-Za-z0-9]{40,}",
    "Prefect": r"pn[ub]_[A-Za-z0-9]{36}",
    # data
    "Databricks": rf"dapi[0-9a-f]{{32}}(?:-[0-9])?{_END}",
    "Supabase": r"(?:sbp_[0-9a-f]{40}|sb_secret_[A-Za-z0-9_-]{20,})",
    "PlanetScale": r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{32,}",
    "Neon": r"napi_[a-z0-9]{60,}",
    "MongoDB Atlas": r"mdb_sa_sk_[A-Za-z0-9_-]{40}",
    "Airtable": r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}",
    "Notion": rf"(?:ntn_[A-Za-z0-9]{{40,}}|secret_[A-Za-z0-9]{{43}}{_END})",
    "Figma": r"fig[dou]_[A-Za-z0-9_-]{40,}",
    "Linear": r"lin_(?:api|oauth)_[A-Za-z0-9]{40,}",
    "Contentful": r"CFPAT-[A-Za-z0-9_-]{43}",
    "Typeform": r"tfp_[A-Za-z0-9_.-]{40,}",
    # payment and messages
    "Stripe": r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}",
    "Stripe and Svix webhooks": r"whsec_[A-Za-z0-9+/]{24,}={0,2}",
    "Square": r"sq0(?:atp|csp)-[A-Za-z0-9_-]{22,}",
    "PayPal and Braintree": r"access_token\$(?:production|sandbox)\$[0-9a-z]{16}\$[0-9a-f]{32}",
    "Shopify": r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",
    "Shippo": r"shippo_(?:live|test)_[0-9a-f]{40}",
    "EasyPost": rf"EZ[AT]K[A-Za-z0-9]{{54}}{_END}",
    "Slack": r"xox[a-eoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}",
    "Slack app": r"xapp-[A-Za-z0-9-]{10,}",
    "Slack webhook": r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_+-]{30,}",
    "Discord": r"(?<!\.)[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}",
    "Discord webhook": r"discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/[A-Za-z0-9_-]{60,}",
    "Twilio": rf"SK[0-9a-f]{{32}}{_END}",
    "SendGrid": r"SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,}",
    "Mailgun": rf"(?:key-[0-9a-f]{{32}}|[0-9a-f]{{32}}-[0-9a-f]{{8}}-[0-9a-f]{{8}}){_END}",
    "Mailchimp": rf"[0-9a-f]{{32}}-us[0-9]{{1,2}}{_END}",
    "Brevo": r"x(?:keysib|smtpsib)-[0-9a-f]{64}-[A-Za-z0-9]{16}",
    "Resend": rf"re_{_DIGIT}[A-Za-z0-9]{{8}}_[A-Za-z0-9]{{24}}",
    "Dropbox": r"sl\.(?:u\.)?[A-Za-z0-9_-]{120,}",
    # formats that many issue
    "JSON web token": r"(?<!\.)ey[JI][A-Za-z0-9_-]{8,4096}\.ey[JI][A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{8,}",
    "age": r"AGE-SECRET-KEY-1[A-Z0-9]{58}",
}
"""Regular expressions for whole tokens by issuer (RFC 7519 for JSON web tokens); none can match across a space.

The part that may be long is bounded, or cannot fail once it has begun, so that a search takes time linear in the text.
"""

_VALUE = r"(?![/.~])(?=[A-Za-z_.~+/=-]{0,60}[0-9])[A-Za-z0-9_.~+/=-]{16,}"
NAMED = {
    "variable": (
        r"[A-Z0-9]_(?:API_?KEY|API_?TOKEN|ACCESS_?KEY|ACCESS_?TOKEN|AUTH_?TOKEN|SECRET_?KEY|SECRET|TOKEN)"
        rf"[\"']?(?:=|: ?)[\"']?({_VALUE})"
    ),
    "header": (
        r"(?i:\b(?:x-api-key|api-key|x-auth-token|private-token|x-goog-api-key|ocp-apim-subscription-key|"
        rf"x-subscription-token)\b)[\"']?: ?[\"']?({_VALUE})"
    ),
    "authorization": rf"(?i:\bbearer |\bauthorization[\"']?: ?[\"']?(?:basic|token|bot|key) )({_VALUE})",
    "connection string": r"(?i:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{40,}={0,2})",
    "signed address": r"[?&](?i:sig|X-Amz-Signature|X-Goog-Signature)=([A-Za-z0-9%]{40,})",
    "Telegram": r"(?<![0-9])[0-9]{8,10}:(AA[A-Za-z0-9_-]{33})",
}
"""Values that are recognized by what is before them: the group is masked."""

# A token begins a word. The character before may end an escape: of JSON (`\n`), of a URL (`%3D`), of a color. A hyphen
# may be one of a diff, at the beginning of a line, but not one in the middle of a name.
_START = r"(?:(?<![A-Za-z0-9_])(?<![^\n]-)|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2})|(?<=[\[;][0-9]m)|(?<=[\[;][0-9]{2}m))"
_TOKEN = re.compile(_START + "(?:" + "|".join(SHAPES.values()) + ")+")
_NAMED = re.compile("|".join(NAMED.values()))
_WORD_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.~+/=%$-"
_LONG_WORD = re.compile(f"[{re.escape(_WORD_CHARACTERS)}]{{15,}}")
"""The shortest token has as many characters; most text has few such words, and only these are checked."""

_ORDINARY_BEGINNING = re.compile(r"[A-Z]?[a-z]{0,15}\.{0,3}|[0-9.]{1,6}%?")
"""A last word that is not held back (`Building...`, `50%`). If it becomes a token, only its rest is masked."""

_NAME_BEFORE = 48
"""Characters before a word in which its name may be."""

_KEPT_BEFORE = _NAME_BEFORE + 16
_LONGEST_TOKEN = 8_192

_KEY_BEGIN = "-----BEGIN "
_KEY_NAME = r"(?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_KEY_BODY = rf"-----BEGIN {_KEY_NAME}(?:[A-Za-z0-9+/=\s\\:,]|-(?!-))*"
_KEY_END = rf"-----END {_KEY_NAME}"
_KEY = re.compile(f"{_KEY_BODY}(?:{_KEY_END})?")
"""PEM (RFC 7468) and OpenPGP armor; without the end if the output was cut."""
_WHOLE_KEY = re.compile(_KEY_BODY + _KEY_END)
_OPEN_KEY = re.compile(
    r"-----BEGIN (?:[A-Za-z0-9+/=\s\\:,]|-(?!----END ))*"
    r"(?:-{1,5}(?:E(?:N(?:D[A-Z0-9 ]*-{0,4})?)?)?)?\Z"
)
_LONGEST_KEY = 20_000


def mask_shapes(text: str) -> str:
    """`text` with everything that looks like a private key or a token replaced by `[masked]`."""
    text = _mask(_find_keys(text, 0), text, 0)
    return _mask(_find_tokens(text, 0), text, 0)


class ShapeStream:
    """The same for streamed text: it holds back the last word, and what may be the beginning of a key.

    If a token is split after an ordinary-looking beginning (`sk`, `ghp`), that beginning may stay before the mark.
    """

    def __init__(self) -> None:
        self._keys = _Stage(_find_keys, _open_key_from)
        self._tokens = _Stage(_find_tokens, _last_word_from)

    def feed(self, piece: str) -> str:
        """Take the next piece; what is settled, masked."""
        return self._tokens.feed(self._keys.feed(piece))

    def flush(self) -> str:
        """The text has ended: what was held back, masked."""
        return self._tokens.feed(self._keys.flush()) + self._tokens.flush()


class _Stage:
    """One of the two passes. `find` and `open_from` take a text and the position from which it counts."""

    def __init__(
        self, find: Callable[[str, int], Iterable[tuple[int, int]]], open_from: Callable[[str, int], int]
    ) -> None:
        self._find = find
        self._open_from = open_from
        self._held = ""
        self._before = ""

    def feed(self, piece: str) -> str:
        text = self._before + self._held + piece
        cut = self._open_from(text, len(self._before))
        return self._settle(text, cut)

    def flush(self) -> str:
        text = self._before + self._held
        return self._settle(text, len(text))

    def _settle(self, text: str, cut: int) -> str:
        start, text_before_cut = len(self._before), text[:cut]
        settled = _mask(self._find(text_before_cut, start), text_before_cut, start)
        self._before, self._held = text[max(0, cut - _KEPT_BEFORE) : cut], text[cut:]
        return settled


def _find_keys(text: str, start: int) -> Iterable[tuple[int, int]]:
    return (found.span() for found in _KEY.finditer(text, start))


def _find_tokens(text: str, _start: int) -> Iterable[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for word in _LONG_WORD.finditer(text):
        tokens = _TOKEN.finditer(text, *word.span())
        found += (token.span() for token in tokens if is_worth_masking(token[0]))
        named = _NAMED.finditer(text, max(0, word.start() - _NAME_BEFORE), word.end())
        found += (value.span(value.lastindex or 0) for value in named)
    return sorted(found)


def _mask(secrets: Iterable[tuple[int, int]], text: str, start: int) -> str:
    """`text` from `start` on, masked; what is before only shows where a word begins, and its name."""
    pieces: list[str] = []
    position = start
    for begin, end in secrets:
        if end <= position:
            continue
        if begin >= position or position == start:
            pieces += text[position : max(position, begin)], MASK
        position = end
    return "".join((*pieces, text[position:]))


def _open_key_from(text: str, start: int) -> int:
    """Where the end of `text` begins that may become a key."""
    start = max(start, len(text) - _LONGEST_KEY)
    for found in _WHOLE_KEY.finditer(text, start):
        start = found.end()
    key = _OPEN_KEY.search(text, start)
    if key:
        return key.start()
    size = next((size for size in range(len(_KEY_BEGIN), 0, -1) if text.endswith(_KEY_BEGIN[:size], start)), 0)
    return len(text) - size


def _last_word_from(text: str, start: int) -> int:
    """Where the last word begins, which may continue in the next piece, unless it looks ordinary so far."""
    begin = len(text.rstrip(_WORD_CHARACTERS))
    if _ORDINARY_BEGINNING.fullmatch(text, begin):
        return len(text)
    return max(start, begin, len(text) - _LONGEST_TOKEN)
