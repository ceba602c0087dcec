"""A session: a journal, what came of it, and snapshots, in one folder; opened anew it goes on where it durably was.

sessions/NAME/journal.sqlite   every input, durable before it acts
              opening.state    what it began with, if it carries an older session on
              outputs.bin      output records, derived
              NUMBER.state     snapshots, by the number of the last input in them
              quarantine/      copies of journals that were found damaged
sessions/current               the name of the session that `paperbot run` goes on with
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
    """The name of the session that is gone on with, None when there is none yet."""
    try:
        return (root / CURRENT).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None


class Writer:
    """A watcher that appends every output record to the session's file."""

    def __init__(self, log: OutputLog) -> None:
        self._log = log

    def events(self, events: Events) -> None:
        """Inputs are in the journal."""

    def records(self, records: Records) -> None:
        """What came out."""
        self._log.append(records)


@dataclass
class Recovered:
    """What opening a session found: for one line that tells it."""

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
    """An open session: the only way in is `commit`, which makes inputs durable and then lets them act."""

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

    # ---- in
    def commit(self, events: Events, source: str, advice: Sequence[Mapping[str, Any]] = ()) -> None:
        """Make events, and the exchanges with the advisor behind them, durable; then feed them."""
        self._append(inputs_of(events, source, self.clock.now_ns()), advice)
        self.runner.feed(events)

    def commit_slice(self, bars: Bars, sources: Sequence[str]) -> None:
        """One whole slice, each bar with its source, then what Python strategies answer to it, in a commit of its
        own.
        """
        now = self.clock.now_ns()
        self._append([Input(bars[k : k + 1].tobytes(), now, source) for k, source in enumerate(sources)])
        self.runner.feed(bars)
        if self.python is not None:
            for _, rows in self.slices.add(bars):
                if rows is not None:
                    self.answer(self.python.ask(rows))

    def answer(self, answers: Signals) -> None:
        """The Python strategies' answers to the last slice, and that they have been given."""
        about = self.journal.seq
        self._append(inputs_of(answers, "python", self.clock.now_ns()), meta={ANSWERED: str(about)})
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

    # ---- out
    def writers(self) -> list[Watcher]:
        """The watchers that a session always has."""
        assert isinstance(self.outputs, OutputLog)
        return [Writer(self.outputs)]

    def save(self) -> Path:
        """Write a snapshot; only the last few are kept."""
        return self.write_snapshot(self.journal.seq, self.snapshot())

    def snapshot(self) -> bytes:
        """The session as it stands, for `write_snapshot`. Call it on the thread that feeds the session."""
        extra = {"seq": self.journal.seq, "h": self.journal.h.hex(), "outputs": self.outputs.count}
        return encode(self.runner, extra)

    def write_snapshot(self, seq: int, content: bytes) -> Path:
        """Make a snapshot durable, and the output records that it counts; on any thread. Raises OutputError."""
        assert isinstance(self.outputs, OutputLog)
        self.outputs.sync()
        path = self.folder / f"{seq}.state"
        write_whole(path, content)
        others = [one for one in snapshots_in(self.folder) if one != path]
        for old in others[: 1 - KEPT_SNAPSHOTS]:
            old.unlink()
        return path

    def digest(self) -> str:
        """The digest as if the session ended here."""
        return self.runner.digest.final(self.runner.machine.state)

    def close(self) -> None:
        """Give everything back; nothing is written."""
        self.outputs.close()
        self.journal.close()
        if self.lock is not None:
            self.lock.free()


def inputs_of(events: Events, source: str, now_ns: int) -> list[Input]:
    """Events as rows of the journal."""
    return [Input(events[k : k + 1].tobytes(), now_ns, source) for k in range(len(events))]


def session_names(root: Path) -> list[str]:
    """The sessions that are kept there."""
    return sorted(path.name for path in root.glob("*") if (path / FILE).is_file())


def snapshots_in(folder: Path) -> list[Path]:
    """Snapshots, oldest first."""
    paths = [path for path in folder.glob("*.state") if path.stem.isdigit()]
    return sorted(paths, key=lambda path: int(path.stem))


def params_input(plan: Plan, now_ns: int) -> Input:
    """The PARAMS row of a start."""
    return Input(PARAMS + json.dumps(encode_plan(plan), sort_keys=True).encode(), now_ns, "start")


def opening_runner(folder: Path, plan: Plan, watchers: Sequence[Watcher], chunk: int = 1) -> Runner:
    """The session's run as it began."""
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
    """Whether there is a session in the folder: its first input is durable. What died before that never was."""
    try:
        with Journal(folder) as journal:
            return journal.seq > 0
    except StateError:
        return (folder / FILE).is_file() and (folder / FILE).stat().st_size > 0


def create_session(
    root: Path, name: str, plan: Plan, clock: Clock, carried: Snapshot | None = None, inputs: Sequence[Input] = ()
) -> Session:
    """A new session; `carried`: the state that it goes on from, `inputs`: what came after that state.

    It begins with one transaction, and is the current one only when that is durable. Raises StateError when the name is
    taken.
    """
    check_name(name)
    trust.remember(one.path.read_text(encoding="utf-8") for one in plan.compiled_strategies.values())
    folder = root / name
    if _is_begun(folder):
        raise StateError(f"{folder}: there is such a session already; choose another --session")
    opening = None if carried is None else _carried(carried, plan)
    lock = Lock(folder)
    for left in folder.glob("*"):
        if left.is_file() and left.name != "lock":
            left.unlink()  # Of a beginning that was never durable.
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
        runner.feed(decoded(b"".join(one.content for one in inputs)))
    return session


def _carried(snapshot: Snapshot, plan: Plan) -> bytes:
    """The state as a new session begins with it. Raises StateError where something would be lost or not add up."""
    first = Runner(plan, [], chunk=1)
    carry_over(snapshot, first)
    wrong = unbalanced(plan, first.machine.state)
    if wrong:
        raise StateError(f"the books of {', '.join(wrong)} do not add up in what would be carried on")
    return encode(first, {"seq": 0, "h": "", "outputs": 0})
