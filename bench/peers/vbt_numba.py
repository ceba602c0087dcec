"""The jobs in vectorbt, its Numba engine."""

from harness import main
from vbt_jobs import IMPORT_S, VERSION, jobs

if __name__ == "__main__":
    main("vectorbt (Numba)", VERSION, IMPORT_S, jobs("numba"))
