"""Opens a session read-only: from its files, without changing them or taking its lock."""

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
        """Ignored: the journal has the inputs."""

    def records(self, records: Records) -> None:
        """Keep output records."""
        self.kept.append(records)


def inspect_session(root: Path, name: str, *, trusted: bool = False) -> Session:
    """The session's durable state; nothing can be committed to it. Raises StateError for files that cannot be read and
    for a journal that must be repaired first.
    """
    check_name(name)
    folder = root / name
    if not folder.is_dir():
        raise StateError(f"{folder}: the session does not exist")
    journal = Journal(folder, read_only=True)
    try:
        trust.check(journal, name, trusted=trusted)
        return _inspected(name, folder, journal)
    except PaperbotError:
        journal.close()
        raise


def refuse_damaged(journal: Journal, name: str) -> None:
    """Raises StateError for a journal that must be repaired."""
    broken = journal.first_break()
    if broken is not None or journal.meta(QUARANTINED):
        damage = "the halt after its repair is missing" if broken is None else f"input {broken} breaks the hash chain"
        raise StateError(f"{journal.path}: {damage}; repair it with: paperbot session repair {name}")


def _inspected(name: str, folder: Path, journal: Journal) -> Session:
    where = str(journal.path)
    refuse_damaged(journal, name)
    snapshot, seq = last_good(folder, journal)
    path = folder / OUTPUTS
    stored = path.stat().st_size // t.OUTPUT_BYTES if path.exists() else 0
    if snapshot is None or stored < int(snapshot.header["extra"]["outputs"]):
        snapshot, seq = None, 0
    keeper = Keeper()
    runner = opening_runner(folder, plan_at(journal, max(seq, 1), where), [keeper])
    kept = 0
    if snapshot is not None:
        restore(snapshot, runner, where)
        kept = int(snapshot.header["extra"]["outputs"])
    outputs = OutputView(path, kept, keeper.kept)
    recovered = Recovered(inputs=journal.seq, snapshot=seq)
    session = Session(name, folder, None, journal, outputs, runner, SystemClock(), recovered=recovered)
    feed_tail(session, journal.rows(seq), where)
    return session
