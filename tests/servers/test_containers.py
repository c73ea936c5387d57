"""The container variant's conversation with the docker command, held with a stand-in that runs `sleep` for a container."""

from pathlib import Path

import pytest

from . import containers, running_servers
from .server import ServerError
from .test_server import eventually, state

ENGINE = """#!/bin/sh
echo "$*" >> "$ENGINE/calls"
for name; do :; done
case "$1 $2" in
  "info "*) exit "${ENGINE_INFO:-0}" ;;
  "create "*) touch "$ENGINE/$3"; exit "${ENGINE_CREATE:-0}" ;;
  "start --attach") echo $$ > "$ENGINE/$name"; exec sleep 60 ;;
  "inspect "*) cat "$ENGINE/$name" ;;
  "kill --signal") kill -TERM "$(cat "$ENGINE/$name")" ;;
  "kill "*) kill -KILL "$(cat "$ENGINE/$name")" ;;
  "pause "*) kill -STOP "$(cat "$ENGINE/$name")" ;;
  "unpause "*) kill -CONT "$(cat "$ENGINE/$name")" ;;
  "rm --force") exit 0 ;;
  *) exit 125 ;;
esac
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the stand-in on the PATH, which writes its calls to the file `calls` there."""
    docker = tmp_path / "docker"
    docker.write_text(ENGINE)
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("ENGINE", str(tmp_path))
    return tmp_path


@pytest.fixture
def answering(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server answers once all that were created run."""

    def ready(_host: str, _port: int) -> bool:
        return all(state(int(pid.read_text() or 0)) for pid in engine.glob("tidings-*"))

    monkeypatch.setattr(containers, "cassandra_ready", ready)
    monkeypatch.setattr(containers, "mongodb_ready", ready)


def test_an_engine_that_answers_is_used_and_its_containers_are_removed(
    engine: Path, answering: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIDINGS_TEST_CASSANDRA", raising=False)
    monkeypatch.delenv("TIDINGS_TEST_MONGODB", raising=False)
    with running_servers() as addresses:
        host, port = addresses.cassandra.split(":")
    calls = (engine / "calls").read_text()
    assert f"--publish {host}:{port}:9042" in calls
    assert f"{containers.MONGODB_IMAGE} --port {addresses.mongodb.split(':')[2].split('/')[0]} --replSet rs0" in calls
    assert calls.count("rm --force --volumes tidings-") == 2


def test_a_container_is_paused_killed_and_started_again(engine: Path, answering: None) -> None:
    with containers.prepare_cassandra_container() as server:
        server.start()
        pid = server.pid
        server.pause()
        eventually(lambda: state(pid) == "T")
        server.resume()
        eventually(lambda: state(pid) == "S")
        server.kill()
        server.start()
        assert server.pid != pid
    assert (engine / "calls").read_text().count("create ") == 1


def test_a_refused_container_quotes_the_engine(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_CREATE", "1")
    with containers.prepare_mongod_container() as server, pytest.raises(ServerError, match="docker create failed"):
        server.start()


def test_an_engine_that_does_not_answer_is_not_used(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert containers.engine_answers()
    monkeypatch.setenv("ENGINE_INFO", "1")
    assert not containers.engine_answers()
    monkeypatch.setenv("PATH", "/nowhere")
    assert not containers.engine_answers()


def test_the_images_are_those_of_the_compose_file() -> None:
    compose = (Path(__file__).parents[2] / "docker-compose.yml").read_text()
    for image in (containers.CASSANDRA_IMAGE, containers.MONGODB_IMAGE):
        assert f"image: {image}\n" in compose
