"""Tokens and keys are recognized by their shape, in whole and in streamed text.

Every token here is made at run time from random characters, so that no scanner takes this file for a leak.
"""

from __future__ import annotations

import base64
import hashlib
import random
import re
import string
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpilot.machine.secrets.masking import MaskedStream, Masker
from vmpilot.machine.secrets.token_shapes import NAMED, SHAPES, ShapeStream, mask_shapes

_chance = random.Random(20_26)
HEX, LOWER, UPPER, WORD = "0123456789abcdef", string.ascii_lowercase, string.ascii_uppercase, string.ascii_letters
ALPHANUMERIC = WORD + string.digits
URL_SAFE = ALPHANUMERIC + "_-"
BASE64 = ALPHANUMERIC + "+/"


def _text(alphabet: str, size: int) -> str:
    """Random characters; a digit, an upper and a lower case letter come first if the alphabet has them."""
    first = "".join(sign for sign in "7Kq" if sign in alphabet)
    return first + "".join(_chance.choices(alphabet, k=size - len(first)))


def _an(size: int) -> str:
    return _text(ALPHANUMERIC, size)


def _url(size: int) -> str:
    return _text(URL_SAFE, size - 1) + "w"


def _hex(size: int) -> str:
    return _text(HEX, size)


TOKENS: dict[str, list[str]] = {
    "OpenAI, Anthropic, OpenRouter, DeepSeek, Moonshot, DashScope": [
        *("sk-" + begin + _url(80) for begin in ("proj-", "svcacct-", "admin-", "ant-api03-", "ant-oat01-")),
        *("sk-" + rest for rest in (_an(48), "or-v1-" + _hex(64), _hex(32), _url(22), f"lf-{uuid.UUID(int=7**40)}")),
    ],
    "OpenAI session": ["sess-" + _an(40)],
    "Google API": ["AIza" + _url(35)],
    "Google authorization key": ["AQ.Ab" + _url(48)],
    "Google OAuth": ["ya29." + _url(120)],
    "Google OAuth refresh": ["1//0" + _url(60)],
    "Google OAuth client": ["GOCSPX-" + _url(28)],
    "Groq": ["gsk_" + _an(52)],
    "xAI": ["xai-" + _an(80)],
    "Perplexity": ["pplx-" + _an(48)],
    "NVIDIA": ["nvapi-" + _url(64)],
    "Hugging Face": ["hf_" + _text(WORD, 34)],
    "Hugging Face organization": ["api_org_" + _text(WORD, 34)],
    "Replicate": ["r8_" + _an(37)],
    "Fireworks": ["fw_" + _an(24)],
    "Together": ["tgp_v1_" + _url(43)],
    "Cerebras": ["csk-" + _text(LOWER + string.digits, 48)],
    "Voyage": ["pa-" + _url(43)],
    "ElevenLabs": ["sk_" + _hex(48)],
    "Jina": ["jina_" + _an(60)],
    "Tavily": ["tvly-" + _an(32), "tvly-dev-" + _an(32)],
    "Firecrawl": ["fc-" + _hex(32)],
    "E2B": ["e2b_" + _hex(40)],
    "LangSmith": [f"lsv2_{kind}_{_hex(32)}_{_hex(10)}" for kind in ("pt", "sk")],
    "Weights & Biases": ["wandb_v1_" + _url(60)],
    "Pinecone": ["pcsk_" + _an(6) + "_" + _an(60)],
    "Vercel": [f"vc{kind}_{_an(56)}" for kind in "kpiar"],
    "Amazon": [begin + _text(UPPER + "234567", 16) for begin in ("AKIA", "ASIA", "ABIA", "ACCA")],
    "Amazon Bedrock": ["ABSK" + _text(BASE64, 128) + "="],
    "Amazon Bedrock, short-term": ["bedrock-api-key-" + _text(BASE64, 400)],
    "Azure client secret": [_an(3) + "8Q~" + _text(ALPHANUMERIC + "_~.-", 33) + "q"],
    "Azure storage": [_text(BASE64, 76) + "+ASt" + _text(BASE64, 5) + "Q=="],
    "Azure AI": [_an(52) + "JQQJ9" + "9BCACYeBjFXJ3w3AAABACOGabcd"],
    "Azure DevOps": [_an(76) + "AZDO" + _an(4)],
    "Alibaba": ["LTAI" + _an(20)],
    "Tencent": ["AKID" + _an(32)],
    "Yandex": ["AQVN" + _url(36)],
    "DigitalOcean": [f"do{kind}_v1_{_hex(64)}" for kind in "opr"],
    "Heroku": ["HRKU-AA" + _url(58)],
    "Fly.io": ["fo1_" + _url(43), "fm2_" + _text(BASE64, 200), "fm1a_" + _text(BASE64, 100)],
    "Netlify": ["nfp_" + _an(36)],
    "Render": ["rnd_" + _an(28)],
    "Cloudflare origin CA": ["v1.0-" + _hex(24) + "-" + _hex(146)],
    "Pulumi": ["pul-" + _hex(40)],
    "Terraform Cloud": [_an(14) + ".atlasv1." + _url(67)],
    "Vault": [f"hv{kind}.{_url(90)}" for kind in "sbr"],
    "Doppler": ["dp.pt." + _an(43), "dp.st.prd." + _an(43)],
    "1Password": ["ops_eyJ" + _text(BASE64, 300)],
    "Tailscale": [f"tskey-{kind}-{_an(17)}-{_an(32)}" for kind in ("auth", "api", "client")],
    "GitHub": [f"gh{kind}_{_an(36)}" for kind in "pousr"],
    "GitHub fine-grained": ["github_pat_" + _an(22) + "_" + _an(59)],
    "GitLab": [
        *(f"gl{kind}-{_url(20)}" for kind in ("pat", "dt", "rt", "cbt", "ptt", "ft", "imt", "agent", "soat", "ffct")),
        f"glpat-{_url(27)}.01.{_text(LOWER + string.digits, 7)}",
    ],
    "GitLab runner registration": ["GR1348941" + _url(20)],
    "Bitbucket": ["ATBB" + _an(32)],
    "Atlassian": ["ATATT3x" + _url(180) + "=" + _text("0123456789ABCDEF", 8)],
    "npm": ["npm_" + _an(36)],
    "PyPI": ["pypi-" + _url(160)],
    "RubyGems": ["rubygems_" + _hex(48)],
    "crates.io": ["cio" + _an(32)],
    "NuGet": ["oy2" + _text(LOWER + string.digits, 43)],
    "Clojars": ["CLOJARS_" + _hex(60)],
    "Docker Hub": ["dckr_pat_" + _url(27), "dckr_oat_" + _url(32)],
    "Artifactory": ["AKCp" + _an(69), "cmVmdGtuO" + _an(55)],
    "CircleCI": ["CCIPAT_" + _an(22) + "_" + _hex(40)],
    "Buildkite": ["bkua_" + _hex(40)],
    "SonarQube": [f"sq{kind}_{_hex(40)}" for kind in "apu"],
    "Postman": ["PMAK-" + _hex(24) + "-" + _hex(34)],
    "Sentry": ["sntryu_" + _hex(64), "sntrys_" + _text(BASE64, 150) + "_" + _url(43)],
    "Grafana": ["glc_" + _text(BASE64, 100) + "=", "glsa_" + _an(32) + "_" + _hex(8)],
    "Grafana, older": ["eyJrIjoi" + _an(80)],
    "New Relic": ["NRAK-" + _text(UPPER + string.digits, 27), "NRII-" + _url(32)],
    "Dynatrace": [f"dt0c01.{_text(UPPER + '234567', 24)}.{_text(UPPER + '234567', 64)}"],
    "PostHog": ["phx_" + _an(43)],
    "Prefect": ["pnu_" + _an(36)],
    "Databricks": ["dapi" + _hex(32), "dapi" + _hex(32) + "-2"],
    "Supabase": ["sbp_" + _hex(40), "sb_secret_" + _url(31)],
    "PlanetScale": [f"pscale_{kind}_{_url(43)}" for kind in ("tkn", "pw", "oauth")],
    "Neon": ["napi_" + _text(LOWER + string.digits, 64)],
    "MongoDB Atlas": ["mdb_sa_sk_" + _url(40)],
    "Airtable": ["pat" + _an(14) + "." + _hex(64)],
    "Notion": ["ntn_" + _an(46), "secret_" + _an(43)],
    "Figma": ["figd_" + _url(40)],
    "Linear": ["lin_api_" + _an(40)],
    "Contentful": ["CFPAT-" + _url(43)],
    "Typeform": ["tfp_" + _url(44)],
    "Stripe": [f"{kind}_{mode}_{_an(24)}" for kind in ("sk", "rk") for mode in ("live", "test")],
    "Stripe and Svix webhooks": ["whsec_" + _text(BASE64, 32)],
    "Square": ["sq0atp-" + _url(22), "sq0csp-" + _url(43)],
    "PayPal and Braintree": [f"access_token$production${_text(LOWER, 16)}${_hex(32)}"],
    "Shopify": [f"shp{kind}_{_hex(32)}" for kind in ("at", "ca", "pa", "ss")],
    "Shippo": ["shippo_live_" + _hex(40)],
    "EasyPost": ["EZAK" + _an(54)],
    "Slack": ["xoxb-" + "1234567890-" + _an(24), "xoxe.xoxp-1-" + _an(140), "xoxp-" + _an(60), "xoxc-" + _an(60)],
    "Slack app": ["xapp-1-A012-" + _an(64)],
    "Slack webhook": ["hooks.slack.com/services/T" + _an(9) + "/B" + _an(9) + "/" + _an(24)],
    "Discord": ["M" + _an(23) + "." + _an(6) + "." + _url(38)],
    "Discord webhook": ["discord.com/api/webhooks/" + "1" * 18 + "/" + _url(68)],
    "Twilio": ["SK" + _hex(32)],
    "SendGrid": ["SG." + _url(22) + "." + _url(43)],
    "Mailgun": ["key-" + _hex(32), _hex(32) + "-" + _hex(8) + "-" + _hex(8)],
    "Mailchimp": [_hex(32) + "-us12"],
    "Brevo": ["xkeysib-" + _hex(64) + "-" + _an(16)],
    "Resend": ["re_" + _an(8) + "_" + _an(24)],
    "Dropbox": ["sl." + _url(140)],
    "JSON web token": [f"eyJ{_url(30)}.eyJ{_url(90)}.{_url(43)}"],
    "age": ["AGE-SECRET-KEY-1" + _text(UPPER + string.digits, 58)],
}
EVERY_TOKEN = [
    pytest.param(token, id=f"{name} {n}") for name, tokens in TOKENS.items() for n, token in enumerate(tokens)
]

NAMED_VALUES: dict[str, list[tuple[str, str]]] = {
    "variable": [
        *((f"{name}_API_KEY=", _an(32)) for name in ("MISTRAL", "CODESTRAL", "AI21", "AZURE_OPENAI", "SAMBANOVA")),
        ('export TOGETHER_API_KEY="', _hex(64)),
        ("CO_API_KEY: ", _an(40)),
        ('"COHERE_API_KEY": "', _an(40)),
        ("AWS_SECRET_ACCESS_KEY=", _text(BASE64, 40)),
        ("CLOUDFLARE_API_TOKEN=", _url(40)),
        ("DD_API_KEY=", _hex(32)),
        ("NGROK_AUTHTOKEN=", _an(27) + "_" + _an(21)),
        ("HEROKU_API_KEY=", str(uuid.UUID(int=11**36))),
    ],
    "header": [
        ("x-api-key: ", _an(40)),
        ("X-Api-Key:", _an(40)),
        ('"api-key": "', _hex(32)),
        ("PRIVATE-TOKEN: ", _an(20)),
    ],
    "authorization": [
        ("Authorization: Bearer ", _an(32)),
        ("authorization: Basic ", _text(BASE64, 30) + "=="),
        ("bearer ", _hex(40)),
    ],
    "connection string": [
        ("AccountName=x;AccountKey=", _text(BASE64, 86) + "=="),
        ("SharedAccessKey=", _text(BASE64, 43) + "="),
    ],
    "signed address": [("https://x.test/c?sv=2024-11-04&sig=", _an(43) + "%3D")],
    "Telegram": [("https://api.telegram.org/bot123456789:", "AA" + _url(33))],
}

KEYS = {
    kind: f"-----BEGIN {name}-----\n{_text(BASE64, 64)}\n{_text(BASE64, 50)}==\n-----END {name}-----"
    for kind, name in {
        "OpenSSH": "OPENSSH PRIVATE KEY",
        "PKCS 8": "PRIVATE KEY",
        "encrypted": "ENCRYPTED PRIVATE KEY",
        "RSA": "RSA PRIVATE KEY",
        "EC": "EC PRIVATE KEY",
        "OpenPGP": "PGP PRIVATE KEY BLOCK",
    }.items()
}


def _stream(text: str, size: Callable[[], int]) -> str:
    stream, fed, position = ShapeStream(), "", 0
    while position < len(text):
        step = size()
        fed += stream.feed(text[position : position + step])
        position += step
    return fed + stream.flush()


def test_every_shape_has_tokens_here() -> None:
    assert set(TOKENS) == set(SHAPES)
    assert set(NAMED_VALUES) == set(NAMED)


def test_this_file_holds_no_token() -> None:
    text = Path(__file__).read_text("utf-8")
    assert mask_shapes(text) == text


@pytest.mark.parametrize("token", [*EVERY_TOKEN, *(pytest.param(key, id=kind) for kind, key in KEYS.items())])
def test_a_token_is_masked_in_every_context(token: str) -> None:
    assert mask_shapes(token) == "[masked]"
    assert mask_shapes(f"key={token}") == "key=[masked]"
    assert mask_shapes(f'"{token}", x\n{token}\n') == '"[masked]", x\n[masked]\n'
    assert mask_shapes(f"+{token}\n-{token}\n") == "+[masked]\n-[masked]\n"
    assert mask_shapes(f"{{'a\\n{token}\\n'}}") == "{'a\\n[masked]\\n'}"
    assert mask_shapes(f"\x1b[32m{token}\x1b[0m") == "\x1b[32m[masked]\x1b[0m"
    assert mask_shapes(f"https://x.test/?a={token}&b=1") == "https://x.test/?a=[masked]&b=1"


@pytest.mark.parametrize("token", EVERY_TOKEN)
def test_a_streamed_token_is_masked(token: str) -> None:
    assert _without_beginnings(_stream(f"a {token} b", lambda: 1)) == "a [masked] b"
    assert _without_beginnings(_stream(f"a={token}", lambda: 7)) == "a=[masked]"


def _without_beginnings(text: str) -> str:
    """Without the few letters or digits of a token that may have been passed on before it looked like one."""
    return re.sub(r"(?:[A-Z]?[a-z]{0,15}\.{0,3}|[0-9.]{0,6}%?)\[masked\]", "[masked]", text)


@pytest.mark.parametrize(
    ("name", "value"), [pair for pairs in NAMED_VALUES.values() for pair in pairs], ids=lambda text: text[:20].strip()
)
def test_a_key_without_a_shape_is_recognized_by_its_name(name: str, value: str) -> None:
    text = f"{name}{value}"
    assert mask_shapes(f"curl {text} -v\n") == f"curl {name}[masked] -v\n"
    assert _without_beginnings(_stream(f"curl {text} -v\n", lambda: 1)) == f"curl {name}[masked] -v\n"
    assert mask_shapes(f"{name}[masked]") == f"{name}[masked]"


ORDINARY = [
    "sk-learn is a library; disk-a1B2c3D4e5F6g7H8i9J0k1L2m3N4",
    "a commit 9f2c1e7d4b8a6c3e5f0d1b2a4c6e8f0a1b3c5d7e",
    "AKIA is the beginning of a key",
    "uuid 123e4567-e89b-12d3-a456-426614174000",
    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "eyJhbGciOi is no whole token",
    'if line == "-----BEGIN CERTIFICATE-----":',
    ".sk-folding-cube .sk-cube-grid-animation-container-small { animation: sk-foldCubeAngle 2.4s infinite }",
    ".hf_header-container-with-a-long-name, .fw_navigationContainerElementWrapper, .pa-0-md { color: #1a2b3c4d }",
    "re_compiled_expression_for_matching = re.compile(r'sk-[a-z]+')",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "sha512-ZXhhbXBsZS1vZi1hbi1pbnRlZ3JpdHktaGFzaC1vZi1hbi1ucG0tcGFja2FnZQ==",
    "/usr/lib/python3.11/site-packages/some_package-1.2.3.dist-info/RECORD",
    "C:\\Users\\somebody\\AppData\\Local\\Programs\\Python\\Python311\\python.exe",
    "2026-11-30T22:07:00.123456Z INFO vmpilot.core[12345]: started in 0.123 s (pid=4711)",
    "ghcr.io/some-organization/some-image@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "OPENAI_API_KEY=your-api-key-goes-here API_KEY=$OTHER_API_KEY MAX_TOKENS=4096000000000000 X_TOKEN=os.environ",
    "SSL_SECRET=/run/secrets/tls-2026.pem GITHUB_TOKEN=${{ secrets.GITHUB_TOKEN }}",
    "Bearer authentication is described in rfc6750, basic authentication in rfc7617",
    "litellm/otel/emitter.py,sha256=fw_5p5tdHlxa3KSdZFEsH3TRTqatF6JiCL-B3jRzxyz,1234 sk-XXXXXXXXXXXXXXXXXXXXXXXX",
    "primary_key=users_20261130_backup api_key=settings.key",
    "arn:aws:iam::123456789012:role/service-role/AmazonEC2ContainerServiceforEC2Role",
    "https://hooks.slack.com/services/ https://discord.com/api/webhooks/ 12:34:56 10:AA",
    "import { secret_santa_participants_for_this_year } from './secret_santa'",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_kept(text: str) -> None:
    assert mask_shapes(text) == text
    assert _stream(text, lambda: 3) == text


@pytest.mark.parametrize("seed", range(10))
def test_hashes_ids_and_encoded_files_are_kept(seed: int) -> None:
    chance = random.Random(seed)
    lines = list[str]()
    for _ in range(300):
        data = chance.randbytes(chance.randint(1, 200))
        lines += [
            hashlib.sha1(data, usedforsecurity=False).hexdigest() + "\trefs/heads/main",
            hashlib.sha256(data).hexdigest() + "  ./file.tar.gz",
            hashlib.md5(data, usedforsecurity=False).hexdigest(),
            str(uuid.UUID(bytes=chance.randbytes(16))),
            base64.encodebytes(data).decode(),
            base64.b64encode(chance.randbytes(600)).decode(),
            base64.b85encode(data).decode(),
            base64.b32encode(data).decode(),
            data.hex(),
            f"sha512-{base64.b64encode(chance.randbytes(64)).decode()}",
            "/".join(_name(chance) for _ in range(6)),
            f".{_name(chance)}-{_name(chance)} > #{_name(chance)}:hover {{ margin: 0 {chance.random()}px }}",
            f"{chance.random()} {_name(chance)}={_name(chance)} {_name(chance)}_{_name(chance)}()",
        ]
    text = "\n".join(lines)
    assert mask_shapes(text) == text


def _name(chance: random.Random) -> str:
    return "".join(chance.choices(LOWER, k=chance.randint(1, 12)))


WORDS = [
    "sk",
    "-",
    "--",
    "x",
    "_",
    " ",
    "\n",
    "eyJ",
    "AKIA",
    "gh",
    "p_",
    ":",
    "=",
    "API_KEY=",
    "Bearer ",
    "X_TOKEN: ",
    "\\n",
]
TEXTS = st.lists(st.sampled_from([*[t for ts in TOKENS.values() for t in ts], *KEYS.values(), *WORDS])).map("".join)


@given(TEXTS, st.randoms(use_true_random=False))
def test_streamed_text_is_masked_like_whole_text(text: str, chance: random.Random) -> None:
    fed = _stream(text, lambda: chance.choice([1, 2, 5, 30, 200]))
    assert _without_beginnings(fed) == _without_beginnings(mask_shapes(text))


@given(st.one_of(TEXTS, st.text(alphabet=WORD + "0123456789_-.=/ :\n[]")))
def test_a_mark_is_never_masked_again(text: str) -> None:
    assert mask_shapes(mask_shapes(text)) == mask_shapes(text)


def test_a_key_without_its_end_is_masked_to_where_it_stops() -> None:
    key = KEYS["OpenSSH"]
    assert mask_shapes(key[:80]) == "[masked]"
    assert mask_shapes(key[:80] + " [… 12 lines] more") == "[masked][… 12 lines] more"


def test_only_the_last_word_and_possible_keys_are_held_back() -> None:
    stream = MaskedStream(Masker([]))
    assert stream.feed("an ordinary line\n") == "an ordinary line\n"
    assert stream.feed("Building...") == "Building..."
    assert stream.feed(" 50%") == " 50%"
    assert stream.feed(" it is a ta") == " it is a ta"
    assert stream.feed("sk sk") == "sk sk"
    assert stream.feed("-") == ""
    assert stream.feed("etch\nPassword: ") == "-etch\nPassword: "
    assert stream.feed("key gh") == "key gh"
    assert stream.feed(f"p_{'a1B2' * 9}") == ""
    assert stream.feed(" ") == "[masked] "
    assert stream.feed("-----BEGIN ") == ""
    assert stream.flush() == "-----BEGIN "


HOSTILE = {
    "ordinary": "an ordinary line-of-output with sk-words and eyJ in it\n",
    "one word": "abcdefgh01234567",
    "parts of a web token": "eyJaaaaaaaa-",
    "parts of a web token behind colors": "\x1b[0meyJaaaaaaaa.",
    "two parts of a web token": "eyJaaaaaaaaaaaa.eyJaaaaaaaaaaaaa.a ",
    "beginnings": "sk-aaaaaaa-/ghp_aaaaaaa+AKIA/xoxb-/glpat-",
    "names": "X_API_KEY=aaaaaaaaaaaaaaaaaaaaaa bearer ",
    "half keys": "-----BEGIN " + "PRIVATE KEY-----\n--",
    "separators": "/+~.=-_",
    "base64": base64.b64encode(random.Random(1).randbytes(30_000)).decode(),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_the_time_is_linear_in_the_text(kind: str) -> None:
    """Eight times the text takes about eight times as long; a quadratic search would take 64 times as long."""

    def seconds(size: int) -> float:
        text = (HOSTILE[kind] * (size // len(HOSTILE[kind]) + 1))[:size]
        best = float("inf")
        for _ in range(2):
            start = time.process_time()
            mask_shapes(text)
            best = min(best, time.process_time() - start)
        return best

    assert seconds(320_000) < 30 * max(seconds(40_000), 0.002)
