"""A session: its journal, output records and snapshots in one folder, from which it recovers after a restart.

sessions/NAME/journal.sqlite   every input, durable before it acts
              opening.state    the opening, if it carries over an older session
              outputs.bin      output records, derived
              NUMBER.state     snapshots, by the number of the last input in them
              quarantine/      copies of damaged journals
sessions/current               the current session's name
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paperbot.engine.books import unbalanced
from paperbot.engine.params import Plan
from paperbot.engine.planrecord import encode_plan
from paperbot.engine.runner import Runner
from paperbot.engine.slices import Slices
from paperbot.engine.snapshot import Snapshot, carry_over, decode, encode, identity, restore
from paperbot.engine.userland import PythonDesk
from paperbot.errors import StateError
from paperbot.events import Bars, Events, Records, Signals, decoded
from paperbot.failpoint import fail_point
from paperbot.live import trust
from paperbot.live.identity import CURRENT, check_name
from paperbot.ports import Clock, Watcher
from paperbot.store.durable import write_whole
from paperbot.store.journal import FILE, PARAMS, Input, Journal, Lock
from paperbot.store.outputs import OutputLog, OutputView

KEPT_SNAPSHOTS = 3
OPENING = "opening.state"
OUTPUTS = "outputs.bin"
ANSWERED = "answered"


def current_session(root: Path) -> str | None:
    """The current session's name, or None."""
    try:
        return (root / CURRENT).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None


class Writer:
    """A watcher that appends all output records to the session's file."""

    def __init__(self, log: OutputLog) -> None:
        self._log = log

    def events(self, events: Events) -> None:
        """Ignored: the journal has the inputs."""

    def records(self, records: Records) -> None:
        """Append output records."""
        self._log.append(records)


@dataclass
class Recovered:
    """How a session was opened, for one log line."""

    is_new: bool = False
    carried_from: str | None = None
    left_behind: str | None = None
    inputs: int = 0
    snapshot: int = 0
    replayed: int = 0
    quarantined: int | None = None
    seconds: float = 0.0


@dataclass
class Session:
    """An open session. Its methods make inputs durable before they let them act."""

    name: str
    folder: Path
    lock: Lock | None
    journal: Journal
    outputs: OutputLog | OutputView
    runner: Runner
    clock: Clock
    python: PythonDesk | None = None
    slices: Slices = field(default_factory=Slices)
    recovered: Recovered = field(default_factory=Recovered)
    committing_s: float = 0.0

    # ---- inputs
    def commit(self, events: Events, source: str, advice: Sequence[Mapping[str, Any]] = ()) -> None:
        """Make events durable, with the exchanges with the advisor that led to them, then feed them."""
        self._append(inputs_of(events, source, self.clock.now_ns()), advice)
        self.runner.feed(events)

    def commit_slice(self, bars: Bars, sources: Sequence[str]) -> None:
        """Commit and feed one slice, each bar with its source; then commit and feed the Python strategies' answers."""
        now = self.clock.now_ns()
        self._append([Input(bars[k : k + 1].tobytes(), now, source) for k, source in enumerate(sources)])
        self.runner.feed(bars)
        if self.python is not None:
            for _, rows in self.slices.add(bars):
                if rows is not None:
                    self.answer(self.python.ask(rows))

    def answer(self, answers: Signals) -> None:
        """Commit and feed the Python strategies' answers to the last slice, and mark it as answered."""
        slice_seq = self.journal.seq
        self._append(inputs_of(answers, "python", self.clock.now_ns()), meta={ANSWERED: str(slice_seq)})
        self.runner.feed(answers)

    def _append(
        self,
        inputs: Sequence[Input],
        advice: Sequence[Mapping[str, Any]] = (),
        meta: Mapping[str, str] | None = None,
    ) -> None:
        began_s = self.clock.monotonic_s()
        self.journal.append(inputs, advice, meta)
        self.committing_s += self.clock.monotonic_s() - began_s

    # ---- outputs
    def writers(self) -> list[Watcher]:
        """The watchers that a session always has."""
        assert isinstance(self.outputs, OutputLog)
        return [Writer(self.outputs)]

    def save(self) -> Path:
        """Write a snapshot; only the newest `KEPT_SNAPSHOTS` are kept."""
        return self.write_snapshot(self.journal.seq, self.snapshot())

    def snapshot(self) -> bytes:
        """Encode the current state for `write_snapshot`. Call this on the thread that feeds the session."""
        extra = {"seq": self.journal.seq, "h": self.journal.h.hex(), "outputs": self.outputs.count}
        return encode(self.runner, extra)

    def write_snapshot(self, seq: int, content: bytes) -> Path:
        """Make the output records and then the snapshot durable; on any thread. Raises OutputError."""
        assert isinstance(self.outputs, OutputLog)
        self.outputs.sync()
        path = self.folder / f"{seq}.state"
        write_whole(path, content)
        others = [other for other in snapshots_in(self.folder) if other != path]
        for old in others[: 1 - KEPT_SNAPSHOTS]:
            old.unlink()
        return path

    def digest(self) -> str:
        """The digest as if the session ended now."""
        return self.runner.digest.final(self.runner.machine.state)

    def close(self) -> None:
        """Close the files and release the lock; nothing is written."""
        self.outputs.close()
        self.journal.close()
        if self.lock is not None:
            self.lock.free()


def inputs_of(events: Events, source: str, now_ns: int) -> list[Input]:
    """Events as rows of the journal."""
    return [Input(events[k : k + 1].tobytes(), now_ns, source) for k in range(len(events))]


def session_names(root: Path) -> list[str]:
    """The names of the sessions in a folder, sorted."""
    return sorted(path.name for path in root.glob("*") if (path / FILE).is_file())


def snapshots_in(folder: Path) -> list[Path]:
    """The snapshots in a session's folder, oldest first."""
    paths = [path for path in folder.glob("*.state") if path.stem.isdigit()]
    return sorted(paths, key=lambda path: int(path.stem))


def params_input(plan: Plan, now_ns: int) -> Input:
    """The PARAMS row of a start."""
    return Input(PARAMS + json.dumps(encode_plan(plan), sort_keys=True).encode(), now_ns, "start")


def opening_runner(folder: Path, plan: Plan, watchers: Sequence[Watcher], chunk: int = 1) -> Runner:
    """A runner in the session's opening state."""
    runner = Runner(plan, watchers, chunk)
    opening = folder / OPENING
    if opening.exists():
        snapshot = decode(opening.read_bytes(), str(opening))
        if snapshot.header["core"] == identity(plan)["core"]:
            restore(snapshot, runner, str(opening))
        else:
            carry_over(snapshot, runner)
    return runner


def _is_begun(folder: Path) -> bool:
    """Whether the folder holds a session, which exists once its first input is durable."""
    try:
        with Journal(folder) as journal:
            return journal.seq > 0
    except StateError:
        return (folder / FILE).is_file() and (folder / FILE).stat().st_size > 0


def create_session(
    root: Path, name: str, plan: Plan, clock: Clock, carried: Snapshot | None = None, inputs: Sequence[Input] = ()
) -> Session:
    """Create a session. `carried`: the state to begin with, `inputs`: the inputs after that state.

    It becomes the current session only once its first transaction is durable. Raises StateError when the name is taken.
    """
    check_name(name)
    trust.remember(strategy.path.read_text(encoding="utf-8") for strategy in plan.compiled_strategies.values())
    folder = root / name
    if _is_begun(folder):
        raise StateError(f"{folder}: the session already exists; choose another --session")
    opening = None if carried is None else _carried(carried, plan)
    lock = Lock(folder)
    for file in folder.glob("*"):
        if file.is_file() and file.name != "lock":
            file.unlink()  # Left over from a start that crashed before its first commit.
    if opening is not None:
        write_whole(folder / OPENING, opening)
    journal = Journal(folder, create=True)
    journal.append([params_input(plan, clock.now_ns()), *inputs], meta={"core": identity(plan)["core"]})
    fail_point("session.before_current")
    write_whole(root / CURRENT, f"{name}\n".encode())
    outputs = OutputLog(folder / OUTPUTS)
    runner = opening_runner(folder, plan, [Writer(outputs)])
    session = Session(name, folder, lock, journal, outputs, runner, clock, recovered=Recovered(is_new=True))
    if plan.python_strategies:
        session.python = PythonDesk(plan.python_strategies, plan, runner.machine)
    if inputs:
        runner.feed(decoded(b"".join(item.content for item in inputs)))
    return session


def _carried(snapshot: Snapshot, plan: Plan) -> bytes:
    """The opening state of a session that carries over a snapshot. Raises StateError if it would not balance."""
    runner = Runner(plan, [], chunk=1)
    carry_over(snapshot, runner)
    assets = unbalanced(plan, runner.machine.state)
    if assets:
        raise StateError(f"the books of {', '.join(assets)} do not add up in the carried-over state")
    return encode(runner, {"seq": 0, "h": "", "outputs": 0})
