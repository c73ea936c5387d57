"""A Cassandra node run from its jars on Java 17."""

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from string import Template

from .packages import HERE, cassandra_jars
from .server import Server, ServerError, free_port

READY_SECONDS = 180.0
JAVA = 17
JOIN_MILLISECONDS = 20_000
# A protocol v4 frame with opcode OPTIONS and no body; the answer's opcode is SUPPORTED (native_protocol_v4.spec §2, §4).
OPTIONS_FRAME = bytes((0x04, 0, 0, 0, 0x05, 0, 0, 0, 0))
SUPPORTED = 0x06
SYNCED = "commitlog_sync: batch"
PERIODIC = "commitlog_sync: periodic\ncommitlog_sync_period: 1000ms"


def cassandra_url(host: str, port: int) -> str:
    """The node as a log URL, without a keyspace."""
    return f"cassandra://{host}:{port}"


def cassandra_ready(host: str, port: int) -> bool:
    """Whether the node's native transport answers."""
    try:
        with socket.create_connection((host, port), timeout=1) as connection:
            connection.sendall(OPTIONS_FRAME)
            answer = connection.recv(9)
    except OSError:
        return False
    return len(answer) > 4 and answer[4] == SUPPORTED


def find_java() -> str:
    """A Java 17 executable: JAVA_HOME's, the PATH's, or one of the usual places."""
    homes = [Path(os.environ["JAVA_HOME"])] if "JAVA_HOME" in os.environ else []
    found = [str(home / "bin" / "java") for home in homes]
    found += [path for path in [shutil.which("java")] if path]
    found += [str(path) for path in sorted(Path("/usr/lib/jvm").glob(f"*{JAVA}*/bin/java"))]
    for java in found:
        if _java_major(java) == JAVA:
            return java
    raise ServerError(f"Cassandra needs Java {JAVA}; install it or point JAVA_HOME at it.")


def _java_major(java: str) -> int | None:
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    match = re.search(r'version "(\d+)', done.stderr + done.stdout)
    return int(match[1]) if match else None


def prepare_cassandra(
    port: int | None = None,
    *,
    host: str = "127.0.0.1",
    storage_port: int | None = None,
    seed: str | None = None,
    heap: str = "1g",
    synced: bool = False,
) -> Server:
    """A node that is installed but not started.

    Nodes of one cluster have hosts of their own (127.0.0.1, 127.0.0.2, …), one `storage_port`, and the first one's host as `seed`. A `synced` node
    answers no write before it is on disk.
    """
    java, jars = find_java(), cassandra_jars()
    # How long a node that joins others asks them who they are: on a busy machine they take seconds to answer.
    delay = [f"-Dcassandra.ring_delay_ms={JOIN_MILLISECONDS}"] if seed not in (None, host) else []
    chosen = port or free_port(host)
    gossip = storage_port or free_port(host)

    def command(directory: Path) -> list[str]:
        words = {
            "HOST": host,
            "PORT": str(chosen),
            "STORAGE_PORT": str(gossip),
            "SEEDS": f"{seed or host}:{gossip}",
            "DATA": str(directory),
            "SYNC": SYNCED if synced else PERIODIC,
        }
        config = directory / "cassandra.yaml"
        config.write_text(Template((HERE / "cassandra.yaml").read_text()).substitute(words))
        shutil.copy(HERE / "logback.xml", directory)
        return [
            java, f"@{HERE / 'jvm.options'}", f"-Xms{heap}", f"-Xmx{heap}", *delay, f"-Dcassandra.config={config.as_uri()}", f"-Dcassandra.storagedir={directory}",
            "-cp", f"{directory}:{jars}/*", "org.apache.cassandra.service.CassandraDaemon",
        ]  # fmt: skip

    return Server("Cassandra", host, chosen, cassandra_url(host, chosen), command, cassandra_ready, READY_SECONDS)


def start_cassandra(
    port: int | None = None, *, host: str = "127.0.0.1", storage_port: int | None = None, seed: str | None = None
) -> Server:
    """A started node; the caller closes it. The arguments are those of `prepare_cassandra`."""
    server = prepare_cassandra(port, host=host, storage_port=storage_port, seed=seed)
    try:
        server.start()
    except BaseException:
        server.close()
        raise
    return server
