"""The jobs in vectorbt, its Rust engine (the package's extra `rust`)."""

from harness import main
from vbt_jobs import IMPORT_S, VERSION, jobs

if __name__ == "__main__":
    main("vectorbt (Rust)", VERSION, IMPORT_S, jobs("rust"))
