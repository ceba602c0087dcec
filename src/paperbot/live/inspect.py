"""A session looked at: from its files, without changing one of them, and without its lock."""

from pathlib import Path

from paperbot.clock import SystemClock
from paperbot.core import types as t
from paperbot.engine.snapshot import restore
from paperbot.errors import PaperbotError, StateError
from paperbot.events import Events, Records
from paperbot.live import trust
from paperbot.live.identity import check_name
from paperbot.live.recovery import QUARANTINED, feed_tail, last_good, plan_at
from paperbot.live.session import OUTPUTS, Recovered, Session, opening_runner
from paperbot.store.journal import Journal
from paperbot.store.outputs import OutputView


class Keeper:
    """A watcher that keeps all output records."""

    def __init__(self) -> None:
        self.kept: list[Records] = []

    def events(self, events: Events) -> None:
        """Inputs are in the journal."""

    def records(self, records: Records) -> None:
        """What came out."""
        self.kept.append(records)


def inspect_session(root: Path, name: str, *, trusted: bool = False) -> Session:
    """The session as it durably is. Nothing can be committed to it. Raises StateError for what cannot be read, and for
    a journal that has to be repaired first.
    """
    check_name(name)
    folder = root / name
    if not folder.is_dir():
        raise StateError(f"{folder}: there is no such session")
    journal = Journal(folder, read_only=True)
    try:
        trust.check(journal, name, trusted=trusted)
        return _inspected(name, folder, journal)
    except PaperbotError:
        journal.close()
        raise


def refuse_damaged(journal: Journal, name: str) -> None:
    """Raises StateError for a journal that has to be repaired."""
    broken = journal.first_break()
    if broken is not None or journal.meta(QUARANTINED):
        first = "a halt is missing" if broken is None else f"input {broken} does not fit"
        raise StateError(f"{journal.path}: {first}; mend it with: paperbot session repair {name}")


def _inspected(name: str, folder: Path, journal: Journal) -> Session:
    where = str(journal.path)
    refuse_damaged(journal, name)
    snapshot, seq = last_good(folder, journal)
    path = folder / OUTPUTS
    there = path.stat().st_size // t.OUTPUT_BYTES if path.exists() else 0
    if snapshot is None or there < int(snapshot.header["extra"]["outputs"]):
        snapshot, seq = None, 0
    keeper = Keeper()
    runner = opening_runner(folder, plan_at(journal, max(seq, 1), where), [keeper])
    kept = 0
    if snapshot is not None:
        restore(snapshot, runner, where)
        kept = int(snapshot.header["extra"]["outputs"])
    outputs = OutputView(path, kept, keeper.kept)
    found = Recovered(inputs=journal.seq, snapshot=seq)
    session = Session(name, folder, None, journal, outputs, runner, SystemClock(), recovered=found)
    feed_tail(session, journal.rows(seq), where)
    return session
