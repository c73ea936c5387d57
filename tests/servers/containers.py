"""The same two servers as containers, where a container engine answers."""

import shutil
import signal
import subprocess
import uuid
from pathlib import Path

from .cassandra import cassandra_ready, cassandra_url
from .mongodb import REPLICA_SET, mongodb_ready, mongodb_url
from .server import Command, Probe, Server, ServerError, free_port

# The images that docker-compose.yml runs.
CASSANDRA_IMAGE = "cassandra:5.0"
MONGODB_IMAGE = "mongo:7.0"
HOST = "127.0.0.1"
ENGINE_SECONDS = 20
# The first start may have to bring the image.
READY_SECONDS = 600.0
CASSANDRA_JVM = (
    "-Dcassandra.config.allow_system_properties=true"
    " -Dcassandra.settings.paxos_variant=v2"
    " -Dcassandra.settings.auto_snapshot=false"
    " -Dcassandra.settings.batch_size_warn_threshold=1024KiB"
    " -Dcassandra.settings.batch_size_fail_threshold=4096KiB"
    " -Dcassandra.skip_wait_for_gossip_to_settle=0"
    " -Dcassandra.ring_delay_ms=1"
)
VERBS = {
    signal.SIGTERM: ("kill", "--signal", "TERM"),
    signal.SIGKILL: ("kill",),
    signal.SIGSTOP: ("pause",),
    signal.SIGCONT: ("unpause",),
}


def engine_answers() -> bool:
    """Whether there is a container engine behind the docker command."""
    if shutil.which("docker") is None:
        return False
    try:
        return _docker("info").returncode == 0
    except subprocess.TimeoutExpired:
        return False


class ContainerServer(Server):
    """A server in a container, which the process `docker start --attach` stands for."""

    def __init__(
        self, name: str, port: int, url: str, image: str, options: list[str], arguments: list[str], probe: Probe
    ) -> None:
        self._container = f"tidings-{name.lower()}-{uuid.uuid4().hex[:12]}"
        super().__init__(name, HOST, port, url, self._create(image, options, arguments), probe, READY_SECONDS)

    @property
    def pid(self) -> int:
        """The process id on the engine's own machine."""
        self._require_running()
        return int(_docker("inspect", "--format", "{{.State.Pid}}", self._container).stdout)

    def _create(self, image: str, options: list[str], arguments: list[str]) -> Command:
        def command(_directory: Path) -> list[str]:
            done = subprocess.run(
                ["docker", "create", "--name", self._container, *options, image, *arguments],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                raise ServerError(f"docker create failed for {image}:\n{done.stderr.strip()}")
            return ["docker", "start", "--attach", self._container]

        return command

    def _remains(self) -> list[str]:
        folder = " ".join(super()._remains())
        return ["sh", "-c", f"docker rm --force --volumes {self._container}; {folder}"]

    def _signal(self, number: signal.Signals) -> None:
        # A refusal means that the container has ended, or was not paused: either is what the caller is after.
        _docker(*VERBS[number], self._container)

    def _discard(self) -> None:
        if self._directory is not None:
            _docker("rm", "--force", "--volumes", self._container)
        super()._discard()


def prepare_cassandra_container() -> Server:
    """A Cassandra container that is not started yet."""
    port = free_port(HOST)
    options = [
        "--publish", f"{HOST}:{port}:9042",
        "--env", "MAX_HEAP_SIZE=1G",
        "--env", "HEAP_NEWSIZE=256M",
        "--env", f"CASSANDRA_BROADCAST_RPC_ADDRESS={HOST}",
        "--env", f"JVM_EXTRA_OPTS={CASSANDRA_JVM}",
    ]  # fmt: skip
    return ContainerServer("Cassandra", port, cassandra_url(HOST, port), CASSANDRA_IMAGE, options, [], cassandra_ready)


def prepare_mongod_container() -> Server:
    """A MongoDB container that is not started yet. It listens on the published port itself, for a replica set's member must find itself under its name."""
    port = free_port(HOST)
    options = ["--publish", f"{HOST}:{port}:{port}"]
    arguments = ["--port", str(port), "--replSet", REPLICA_SET, "--bind_ip_all", "--wiredTigerCacheSizeGB", "1"]
    return ContainerServer("MongoDB", port, mongodb_url(HOST, port), MONGODB_IMAGE, options, arguments, mongodb_ready)


def _docker(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["docker", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=ENGINE_SECONDS,
        stdin=subprocess.DEVNULL,
    )
