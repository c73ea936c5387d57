"""A MongoDB replica set of one member, from the package in requirements/servers.txt."""

from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from .packages import mongod_binary
from .server import Server, free_port

READY_SECONDS = 60.0
REPLICA_SET = "rs0"
ALREADY_INITIATED = 23  # MongoDB's error code AlreadyInitialized


def mongodb_url(host: str, port: int) -> str:
    """How clients name the replica set."""
    return f"mongodb://{host}:{port}/?replicaSet={REPLICA_SET}"


def mongodb_ready(host: str, port: int) -> bool:
    """Whether the member is the writable primary; initiates the replica set where nobody has."""
    client: MongoClient[dict[str, object]] = MongoClient(
        host, port, directConnection=True, serverSelectionTimeoutMS=500, connectTimeoutMS=500, socketTimeoutMS=5000
    )
    try:
        hello = client.admin.command("hello")
        if "setName" not in hello and not _initiate(client, f"{host}:{port}"):
            return False
        return bool(hello.get("isWritablePrimary"))
    except PyMongoError:
        return False
    finally:
        client.close()


def _initiate(client: "MongoClient[dict[str, object]]", member: str) -> bool:
    config = {"_id": REPLICA_SET, "members": [{"_id": 0, "host": member}]}
    try:
        client.admin.command("replSetInitiate", config)
    except OperationFailure as error:
        return error.code == ALREADY_INITIATED
    return True


def prepare_mongod(port: int | None = None) -> Server:
    """A mongod that is installed but not started."""
    host = "127.0.0.1"
    chosen = port or free_port(host)
    binary = mongod_binary()

    def command(directory: Path) -> list[str]:
        data = directory / "data"
        data.mkdir()
        return [
            str(binary), "--dbpath", str(data), "--bind_ip", host, "--port", str(chosen), "--replSet", REPLICA_SET,
            "--wiredTigerCacheSizeGB", "1", "--oplogSize", "512", "--nounixsocket",
            "--setParameter", "diagnosticDataCollectionEnabled=false",
        ]  # fmt: skip

    return Server("MongoDB", host, chosen, mongodb_url(host, chosen), command, mongodb_ready, READY_SECONDS)


def start_mongod(port: int | None = None) -> Server:
    """A started mongod; the caller closes it."""
    server = prepare_mongod(port)
    try:
        server.start()
    except BaseException:
        server.close()
        raise
    return server
