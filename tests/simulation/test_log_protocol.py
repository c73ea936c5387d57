"""The protocol of the log on Cassandra, in simulated worlds: what is acknowledged is there once, and whatever anyone is told or shown is true.

`python -m tests.simulation.log SEED --trace` replays one; CONTRIBUTING.md says how to read it.
"""

import os
import random
import re
import subprocess
import sys
import threading
from collections import Counter
from functools import cache

import pytest

from api.logs import configure_logs
from domain.log.cassandra import appender, attempt, keeper
from tests.simulation.log.faults import CLUSTER_KINDS, REQUEST_KINDS
from tests.simulation.log.mistakes import CATALOGUE, NEEDLESS, run_with, search
from tests.simulation.log.plan import plan_of, sweep_of
from tests.simulation.log.world import Report, run

FAST = range(50)
SLOW = range(50, 500)
TOGETHER = 25

MUST_HAPPEN = (
    *REQUEST_KINDS,
    *CLUSTER_KINDS,
    "coordinator died at prepare",
    "coordinator died at propose",
    "coordinator died at commit",
    "accepted by too few",
    "committed to too few",
    "ballot preempted",
    "open round finished",
    "killed in flight",
    "killed at rest",
    "killed at a send",
    "frozen",
    "frozen long",
    "cut off",
    "node down",
    "cluster slow",
    "clock off within R8",
    "clock off beyond R8",
    "set back",
    # What became of attempts: all that an answer can hide.
    "unknown, was applied",
    "unknown, was not applied",
    "told not applied, was applied",
    "told not applied, was not",
    "sent again",
    "append applied after its sender had died",
    "append applied after its sender was told otherwise",
    # What the log had to do about it.
    "outcome unknown",
    "hole in the log",
    "index mended",
    "view rebased",
    "clock checked",
)
"""Each of these befalls someone within the fast seeds: a fault that never comes proves nothing."""

ANSWERS = ("appended", "unchanged", "refused", "unavailable", "unknown", "never")


@cache
def report_of(seed: int) -> Report:
    return run(seed)


def require(report: Report) -> None:
    if report.breaches:
        pytest.fail("\n".join([f"replay with `{report.replay}`", *report.breaches]))


@pytest.mark.parametrize("seed", [*FAST[:10], *(pytest.param(seed, marks=pytest.mark.slow) for seed in FAST[10:])])
def test_whatever_befalls_the_processes_the_log_is_right(seed: int) -> None:
    require(report_of(seed))


@pytest.mark.slow
@pytest.mark.parametrize("first", SLOW[::TOGETHER])
def test_whatever_befalls_more_processes_the_log_is_right(first: int) -> None:
    for seed in range(first, min(first + TOGETHER, SLOW.stop)):
        require(run(seed))


@pytest.mark.slow
def test_every_kind_of_fault_has_struck() -> None:
    counts: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    for seed in FAST:
        counts += report_of(seed).counts
        answers += report_of(seed).answers
    assert [kind for kind in MUST_HAPPEN if not counts[kind]] == []
    assert [answer for answer in ANSWERS if not answers[answer]] == []
    assert {plan_of(seed).processes for seed in FAST} == {2, 3, 4}


def test_a_seed_is_one_course_of_events() -> None:
    assert run(3).hash == report_of(3).hash
    assert report_of(4).hash != report_of(3).hash


def test_what_the_process_logged_before_changes_no_run() -> None:
    before = run(3).hash
    configure_logs("critical", "json")
    for module in (appender, attempt, keeper):
        vars(module)["_log"].info("a line of an earlier test")
    assert run(3).hash == before


def test_what_other_threads_draw_changes_no_run() -> None:
    over = threading.Event()

    def draw() -> None:
        while not over.wait(0.0005):
            random.random()

    thread = threading.Thread(target=draw)
    before = run(3).hash
    thread.start()
    try:
        assert run(3).hash == before
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_a_seed_is_replayed_elsewhere_from_its_number() -> None:
    def replayed(hash_seed: str) -> str:
        command = [sys.executable, "-m", "tests.simulation.log", "3", "--trace"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=120)
        found = re.search("^trace ([0-9a-f]+):", done.stdout, re.MULTILINE)
        assert found is not None
        return found[1]

    assert {replayed("1"), replayed("2")} == {report_of(3).hash}


@pytest.mark.slow
def test_a_process_may_die_at_any_step() -> None:
    died: Counter[str] = Counter()
    for step in range(1, 640, 4):
        report = run(step, plan=sweep_of(step))
        assert report.breaches == [], f"it died at its step {step}"
        died += report.counts
    assert died["killed in flight"] > 10
    assert died["killed at rest"] > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", CATALOGUE)
def test_the_simulation_notices(name: str) -> None:
    """Each plausible mistake, by the seed that is known to notice it, or by another if the code has changed since."""
    assert search(CATALOGUE[name], 400) is not None


@pytest.mark.slow
@pytest.mark.parametrize("name", NEEDLESS)
def test_nothing_depends_on(name: str) -> None:
    """What looks like a mistake and is none: should one of these fail, the protocol has come to need the rule."""
    for seed in FAST:
        report = run_with(NEEDLESS[name], seed)
        assert report.breaches == [], f"seed {seed}"


@pytest.mark.slow
def test_no_mistake_outlasts_its_run() -> None:
    before = run(3).hash
    for name, made in {**CATALOGUE, **NEEDLESS}.items():
        run_with(made, made.seed)
        assert run(3).hash == before, name
