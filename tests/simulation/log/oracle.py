"""The judge: whether what a run left behind, and what everybody was told and shown, can be true."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from domain.ids import stream_shard
from tests.simulation.log.cluster import Cluster
from tests.simulation.log.history import Asked, History, Seen
from tests.simulation.log.model import Past, Row, State, row_of, verdict
from tests.simulation.log.storage import Key, PartitionKey

_CERTAINLY_NOT = ("refused", "unchanged", "unavailable", "overloaded")


class Oracle:
    """``segment_size`` and ``shards`` are the log's. ``whole``: nothing was lost by the store, so that all that was promised must hold."""

    def __init__(
        self, cluster: Cluster, history: History, keyspace: str, *, segment_size: int, shards: int, whole: bool
    ) -> None:
        self._cluster = cluster
        self._history = history
        self._log = f"{keyspace}.event_log"
        self._index = f"{keyspace}.events_by_stream"
        self._segment_size = segment_size
        self._shards = shards
        self._whole = whole
        self._breaches: list[str] = []
        self._watermarks: Counter[int] = Counter()
        self.attempts: set[str] = set()
        """Those that are in the log."""
        history.raised = self._raised

    def _breach(self, text: str) -> None:
        if len(self._breaches) < 20:
            self._breaches.append(text)

    # While it runs

    def _raised(self, shard: int, watermark: int) -> None:
        """At the moment at which a watermark is raised: a quorum holds all that it promises."""
        if not self._whole:
            return
        for position in range(self._watermarks[shard] + 1, watermark + 1):
            segment = (position - 1) // self._segment_size
            key: PartitionKey = (self._log, (1, shard, segment))
            body = self._find(key, (position,))
            if body is None:
                self._breach(f"the watermark of shard {shard} was raised to {watermark}, its log has no row {position}")
                return
            row = row_of(body)
            held = self._cluster.holds((self._index, (row.stream,)), (row.version, 1, position))
            if held < self._cluster.quorum:
                self._breach(
                    f"the watermark of shard {shard} was raised to {watermark}, while {held} replicas have row {position} of the index"
                )
                return
        self._watermarks[shard] = max(self._watermarks[shard], watermark)

    def _find(self, key: PartitionKey, clustering: Key) -> bytes | None:
        for replica in self._cluster.replicas:
            part = replica.partitions.get(key)
            if part is not None and clustering in part.rows:
                return bytes(part.rows[clustering]["body"].value)
        return None

    # At the end

    def judge(self) -> list[str]:
        """What is wrong, in words; empty where nothing is."""
        self._breaches += self._history.complaints
        shards = self._rows(self._log)
        for shard, rows in shards.items():
            self._check_order(shard, rows)
        if self._breaches:
            return self._breaches
        past = Past(shards)
        self.attempts = {row.attempt for rows in shards.values() for row in rows}
        commands: defaultdict[str, list[Row]] = defaultdict(list)
        for rows in shards.values():
            for row in rows:
                commands[row.command].append(row)
        for asked in self._history.asked:
            own = commands.get(asked.op.id, [])
            self._check_presence(asked, own)
            if own:
                self._check_decision(asked, own, past)
            elif asked.answer in ("unchanged", "refused") and self._whole:
                self._check_eventless(asked, past)
        self._check_strangers(commands)
        self._check_index(past)
        if self._whole:
            self._check_readers(past)
        return self._breaches

    def _rows(self, table: str) -> dict[int, list[Row]]:
        found: defaultdict[int, list[Row]] = defaultdict(list)
        for (_, key), result in self._cluster.dump(table).items():
            for clustering, cells in result.rows:
                row = row_of(cells["body"].value, key[2] if table == self._log else -1)
                named = (*key[:2], *clustering) if table == self._log else (*key, *clustering)
                if named != (
                    (1, row.shard, row.position) if table == self._log else (row.stream, row.version, 1, row.position)
                ):
                    self._breach(f"{table} has {row.short} under {named}")
                found[row.shard].append(row)
        return {shard: sorted(rows, key=lambda row: row.position) for shard, rows in sorted(found.items())}

    def _check_order(self, shard: int, rows: Sequence[Row]) -> None:
        versions: Counter[str] = Counter()
        recorded_at = 0
        for number, row in enumerate(rows, 1):
            where = f"shard {shard} position {row.position}"
            if row.position != number:
                self._breach(f"{where}: {number} must stand there")
                return
            if row.segment != (row.position - 1) // self._segment_size:
                self._breach(f"{where}: lies in segment {row.segment}")
            versions[row.stream] += 1
            if row.version != versions[row.stream]:
                self._breach(
                    f"{where}: version {row.version} of {row.stream}, where {versions[row.stream]} must follow"
                )
            if row.recorded_at < recorded_at:
                self._breach(f"{where}: recorded {recorded_at - row.recorded_at} µs before the event in front of it")
            recorded_at = row.recorded_at
            expected = shard if row.stream == f"shard-{shard}" else stream_shard(row.stream, self._shards)
            if expected != shard:
                self._breach(f"{where}: {row.stream} does not belong there")

    def _check_presence(self, asked: Asked, own: Sequence[Row]) -> None:
        """Each acknowledged command's events are there once, those of a refused one are not."""
        op = asked.op
        if own:
            positions = [row.position for row in own]
            if positions != list(range(positions[0], positions[0] + len(own))) or len({row.attempt for row in own}) > 1:
                self._breach(f"{op}: its events lie apart or are there twice: {positions}")
            if len({row.segment for row in own}) > 1:
                self._breach(f"{op}: its events lie in two segments")
        if own and asked.answer in _CERTAINLY_NOT:
            self._breach(f"{op}: was answered {asked.answer} {asked.code}, and has {len(own)} events")
        if asked.answer == "appended":
            if self._whole and not own:
                self._breach(f"{op}: was acknowledged, and is not there")
            elif own and list(asked.events) != [row.short for row in own]:
                self._breach(f"{op}: was told {list(asked.events)}, and has {[row.short for row in own]}")
        if asked.answer == "failed" or (asked.answer == "log error" and self._whole):
            self._breach(f"{op}: ended in {asked.code}")

    def _check_decision(self, asked: Asked, own: Sequence[Row], past: Past) -> None:
        """Deciding it again on all that stands before it gives its very events."""
        op, before = asked.op, own[0].position - 1
        if op.given and not self._whole:
            return  # It may rest on what was lost: it is not covered.
        states: dict[str, State] = {stream: past.state(stream, before) for stream in op.streams}
        wanted = [(row.stream, row.type, dict(row.payload)) for row in own]
        for given in self._given_states(op.given, op.shard, before, past):
            if verdict(op, {**states, **given}) == wanted:
                return
        self._breach(
            f"{op}: at {own[0].position} it has {wanted}, on what stands before it were {verdict(op, {**states, **given})}"
        )

    def _given_states(self, given: str, shard: int, before: int, past: Past) -> list[Mapping[str, State]]:
        """Those that an append may rest on: any of another shard's past, and exactly the present of its own."""
        if not given:
            return [{}]
        other = stream_shard(given, self._shards)
        if other == shard:
            return [{given: past.state(given, before)}]
        return [{given: past.state(given, at)} for at in past.moments([given], 0, len(past.shards.get(other, ())))]

    def _check_eventless(self, asked: Asked, past: Past) -> None:
        """The answer was right at some moment between question and answer."""
        op = asked.op
        expected = "unchanged" if asked.answer == "unchanged" else asked.code
        low, high = self._window(op.shard, asked)
        moments = past.moments([*op.streams, op.given] if op.given else op.streams, low, high)
        if asked.position is not None:
            if not low <= asked.position <= high:
                self._breach(f"{op}: its answer holds at {asked.position}, outside of {low} to {high}")
            moments = [asked.position]
        other = stream_shard(op.given, self._shards) if op.given else op.shard
        for moment in moments:
            states = {stream: past.state(stream, moment) for stream in op.streams}
            if not op.given:
                options: list[Mapping[str, State]] = [{}]
            elif other == op.shard:
                options = [{op.given: past.state(op.given, moment)}]
            else:
                options = [
                    {op.given: past.state(op.given, at)} for at in past.moments([op.given], *self._window(other, asked))
                ]
            if any(verdict(op, {**states, **given}) == expected for given in options):
                return
        self._breach(
            f"{op}: was answered {expected} by {asked.process}, right at no moment from {low} to {high} of shard {op.shard}"
        )

    def _window(self, shard: int, asked: Asked | Seen) -> tuple[int, int]:
        """What everyone could see when it was asked, and what was there at most when it was answered."""
        low = self._history.settled_heads[shard].at(asked.asked_at)
        return low, self._history.chosen[shard].at(asked.answered_at)

    def _check_strangers(self, commands: Mapping[str, Sequence[Row]]) -> None:
        known = {asked.op.id for asked in self._history.asked}
        for command, rows in commands.items():
            if command not in known and any(row.type != "log.segment_padded" for row in rows):
                self._breach(f"nobody asked for {command}, which has {len(rows)} events")

    def _check_index(self, past: Past) -> None:
        """It is part of the log, and whole up to each watermark."""
        if not self._whole:
            return
        index = {row.short: row for rows in self._rows(self._index).values() for row in rows}
        log = {row.short: row for rows in past.shards.values() for row in rows}
        for short, row in index.items():
            there = log.get(short)
            if there is None or (there.payload, there.command, there.attempt) != (
                row.payload,
                row.command,
                row.attempt,
            ):
                self._breach(f"the index has {short}, which is not in the log")
        for shard, watermark in self._watermarks.items():
            lacking = [row.position for row in past.shards[shard][:watermark] if row.short not in index]
            if lacking:
                self._breach(f"the index of shard {shard} lacks {lacking} below its watermark {watermark}")

    def _check_readers(self, past: Past) -> None:
        for tail in self._history.tails:
            rows = past.shards.get(tail.shard, [])
            if tail.rows != [row.short for row in rows[: len(tail.rows)]]:
                self._breach(f"{tail.process} has read shard {tail.shard} otherwise than it is")
        for seen in self._history.seen:
            self._check_seen(seen, past)

    def _check_seen(self, seen: Seen, past: Past) -> None:
        if seen.kind == "head":
            low, high = self._window(int(seen.name), seen)
            if not low <= seen.found <= high:
                self._breach(
                    f"{seen.process} was shown head {seen.found} of shard {seen.name}, outside of {low} to {high}"
                )
            return
        low, high = self._window(stream_shard(seen.name, self._shards), seen)
        if seen.kind == "load":
            events = [row.short for row in past.rows[seen.name]]
            count = len(seen.found)
            if seen.found != events[:count] or not past.count(seen.name, low) <= count <= past.count(seen.name, high):
                self._breach(f"{seen.process} loaded {seen.name[:10]} with {count} events, between {low} and {high}")
        else:
            moments = past.moments([seen.name], low, high)
            if not any(_shown(seen.name, past.state(seen.name, at)) == seen.found for at in moments):
                self._breach(f"{seen.process} was shown {seen.name[:10]} as {seen.found}, between {low} and {high}")


def _shown(stream: str, state: State) -> Any:
    """What a reader of the state is shown."""
    if stream.startswith("tally"):
        return state["total"], state["events"]
    return state["owner"] if stream.startswith("seat") else state["events"]
