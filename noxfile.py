"""The project's checks: `nox` runs all that a commit must pass; `nox -l` lists the rest."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "tests", "docs", "e2e"]
nox.options.reuse_existing_virtualenvs = True

LOCK = ".ci/lock.txt"
LOCK_INPUT = ".ci/lock.in"
PACKAGES = ["vmpilot-core", "vmpilot-backend-langchain", "vmpilot-backend-litellm"]
APART = [f"--ignore=tests/{folder}" for folder in ("crash", "e2e", "matrix")]
SOURCES = [f"{package}/src" for package in PACKAGES]


def install(session: nox.Session) -> None:
    """Everything that is locked, then our distributions as they stand."""
    # Hundreds of tests start programs, which would compile their modules each time without bytecode files.
    session.env["PYTHONDONTWRITEBYTECODE"] = ""
    session.install("--require-hashes", "-r", LOCK)
    session.install("--no-deps", *[part for package in PACKAGES for part in ("-e", package)])


@nox.session
def lint(session: nox.Session) -> None:
    """Format, lint rules, and the layers."""
    install(session)
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("lint-imports", "--no-cache")


@nox.session
def types(session: nox.Session) -> None:
    """Strict types, tests too."""
    install(session)
    session.run("mypy", *SOURCES, "tests", "bench", "noxfile.py")


@nox.session
def tests(session: nox.Session) -> None:
    """The tests, except crash, e2e and matrix, which have their own sessions."""
    install(session)
    session.run("pytest", "-n", "3", *APART, *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; every warning is an error."""
    install(session)
    session.run("sphinx-build", "-W", "-q", "-b", "html", "vmpilot-core/docs", f"{session.create_tmp()}/html")


@nox.session
def e2e(session: nox.Session) -> None:
    """A request through each backend with the real local model, which is fetched once (1.1 GB)."""
    install(session)
    session.run("pytest", "tests/e2e", *session.posargs)


@nox.session
def crash(session: nox.Session) -> None:
    """Kill the program, and fail its disk, at each write; `-- --crashes 200` leaves nothing out. Needs strace."""
    if shutil.which("strace") is None:
        session.error("the crash tests need strace: apt-get install strace")
    install(session)
    session.run("pytest", "-n", "2", "tests/crash", *session.posargs)


@nox.session
def matrix(session: nox.Session) -> None:
    """Fresh environments with plain pip: core alone, with either backend, with both, with a third party's too."""
    session.install("--require-hashes", "-r", LOCK)
    session.run("pytest", "tests/matrix", *session.posargs)


@nox.session
def conformance(session: nox.Session) -> None:
    """Every fault of a model or its server, and all whole turns, on both backends; `-- --only NAME` for some faults."""
    install(session)
    session.run("python", "-m", "tests.conformance.table", *session.posargs)
    if not session.posargs:
        session.run("pytest", "-n", "2", "tests/system", "--backends", "all")


@nox.session(venv_backend="venv", reuse_venv=False)
@nox.parametrize("backend", ["langchain", "litellm"])
def alone(session: nox.Session, backend: str) -> None:
    """Every fault through one backend alone, in a fresh environment with the newest versions that pip resolves."""
    session.install("./vmpilot-core", f"./vmpilot-backend-{backend}")
    session.run("python", "-m", "tests.conformance.table", "--backend", backend, *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build, check and install what is published: the core alone, with each backend and with both, by pipx and uv."""
    install(session)
    work = Path(session.create_tmp()).resolve()
    shutil.rmtree(work, ignore_errors=True)
    dist = work / "dist"
    for package in PACKAGES:
        session.run("python", "-m", "build", "--installer", "uv", "--outdir", dist, package)
    wheels, archives = sorted(dist.glob("*.whl")), sorted(dist.glob("*.tar.gz"))
    session.run("twine", "check", "--strict", *wheels, *archives)
    session.run("check-wheel-contents", *wheels)
    for package in PACKAGES:
        session.run("pyroma", "--min=10", package)
    with tarfile.open(next(dist.glob("vmpilot_core-*.tar.gz"))) as archive:
        if not any(name.endswith("/docs/configuration.md") for name in archive.getnames()):
            session.error("the sdist of vmpilot-core lacks its docs")
    core = next(dist.glob("vmpilot_core-*.whl")).as_uri()
    # uv would otherwise reuse the wheels of an earlier build of the same version.
    fresh = [part for package in PACKAGES for part in ("--refresh-package", package)]
    for backends in ([], ["langchain"], ["litellm"], ["langchain", "litellm"]):
        wanted = f"vmpilot-core[{','.join(backends)}] @ {core}"
        pipx = work / "-".join(["pipx", *backends])
        env = {"PIPX_HOME": str(pipx), "PIPX_BIN_DIR": str(pipx / "bin"), "HOME": str(work)}
        session.run("pipx", "install", "--quiet", f"--pip-args=--find-links={dist}", wanted, env=env)
        by_uv = ["uv", "tool", "run", "--quiet", *fresh, "--find-links", str(dist), "--from", wanted, "vmpilot"]
        for command in ([str(pipx / "bin/vmpilot")], by_uv):
            codes = [0] if backends else [5]  # 5: no backend is installed
            listed = session.run(*command, "backends", "list", env=env, external=True, silent=True, success_codes=codes)
            names = [line.split()[0] for line in str(listed).splitlines() if line.startswith(("langchain", "litellm"))]
            if names != backends:
                session.error(f"{wanted}: expected the backends {backends}, found {names}:\n{listed}")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Ten times as many random examples as `tests` tries: of all properties, and of command lines beside bash."""
    install(session)
    session.run("pytest", "-n", "2", "tests/core", "-m", "hypothesis", "--hypothesis-profile", "thorough")
    session.run(
        "pytest", "-n", "2", "tests/core/permissions", "--fuzz", "5000", "-k", "fuzz or denied or scripts or expan"
    )


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against the aims, from outside, beside bare loops."""
    install(session)
    session.run("python", "bench/run.py", *session.posargs)


@nox.session(reuse_venv=True)
def lock(session: nox.Session) -> None:
    """Renew the lock file."""
    session.install("uv")
    hidden = [part for package in PACKAGES for part in ("--no-emit-package", package)]
    options = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-header"]
    session.run("uv", "pip", "compile", *options, "--group", "dev", LOCK_INPUT, *hidden, "-o", LOCK)
