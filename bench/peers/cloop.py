"""The jobs as a C loop (loop.c, gcc -O3), called through ctypes."""

import ctypes
import subprocess
import tempfile
from pathlib import Path

from harness import Bars, Job, Outcome, main

SOURCE = Path(__file__).with_name("loop.c")


class Result(ctypes.Structure):
    """`struct outcome` of loop.c."""

    _fields_ = (("entries", ctypes.c_long), ("exits", ctypes.c_long), ("final_equity", ctypes.c_double))


def compiled() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "loop.so"
        subprocess.run(["gcc", "-O3", "-shared", "-fPIC", "-o", library, SOURCE, "-lm"], check=True)
        return ctypes.CDLL(str(library))


class CLoop(Job):
    """A function of loop.c over some columns of the bars."""

    function: str
    columns: tuple[str, ...]

    def __init__(self, bars: Bars) -> None:
        super().__init__(bars)
        self.call = getattr(compiled(), self.function)
        self.call.restype = None
        self.result = Result()
        pointers = [getattr(bars, name).ctypes.data_as(ctypes.POINTER(ctypes.c_double)) for name in self.columns]
        self.arguments = (*pointers, ctypes.c_long(len(bars)), ctypes.byref(self.result))

    def run(self) -> None:
        self.call(*self.arguments)

    def outcome(self) -> Outcome:
        return Outcome(self.result.entries, self.result.exits, self.result.final_equity)


class Sma(CLoop):
    function, columns = "sma", ("open", "close")


class Rsi(CLoop):
    function, columns = "rsi", ("open", "high", "low", "close")


def compiler() -> str:
    return subprocess.run(["gcc", "-dumpfullversion"], check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main("C loop", f"gcc {compiler()}", 0.0, {"sma": Sma, "rsi": Rsi})
