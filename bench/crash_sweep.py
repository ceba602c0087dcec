"""`make crash-sweep`: a live session that is killed over and over, and must end as if it never had been.

Half of the deaths are `kill -9` at random moments, half at named places inside commit, snapshot and rename. The venue's
time stands still while nobody listens, so that a few seconds of market last for hundreds of lives.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from livelab import Bot, VenueProcess, kill
from test_live import two_markets, until

PLACES = [
    "journal.before_commit",
    "journal.after_commit",
    "durable.before_rename",
    "durable.after_rename",
    "parquet.before_rename",
]


def sweep(kills: int, seed: int, bars: int) -> int:
    chance = random.Random(seed)  # noqa: S311
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files, sources = two_markets(folder, bars)
        end = until(files["ETH/USDT"])
        deaths = {"kill -9": 0, **dict.fromkeys(PLACES, 0)}
        with VenueProcess(folder, *sources) as venue:
            more = {"run.snapshot_every": "60", "run.artifacts_every_s": "0.4", "feed.catch_up_max": "366d"}
            bot = Bot(folder, {**venue.settings(), **more})
            for number in range(kills):
                place = chance.choice(PLACES) if number % 2 else None
                if place is None:
                    process = bot.start("--until", end)
                    bot.wait_for_inputs(min(bot.inputs() + chance.randint(2, 120), 2 * bars - 100), process)
                    time.sleep(chance.random() * 0.1)
                    if process.poll() is None:
                        kill(process)
                        deaths["kill -9"] += 1
                else:
                    count = chance.randint(1, 2 if place.startswith("parquet") else 40)
                    count = min(count, 4) if place.startswith("durable") else count
                    process = bot.start("--until", end, PAPERBOT_FAIL_POINT=f"{place}:{count}")
                    try:
                        code = process.wait(20)
                        deaths[place] += code == -signal.SIGKILL
                    except subprocess.TimeoutExpired:  # The place was not passed so often: killed all the same.
                        kill(process)
                        deaths["kill -9"] += 1
                if (number + 1) % 20 == 0:
                    print(f"{number + 1} lives, {bot.inputs()} inputs, {time.monotonic() - began:.0f} s", flush=True)
            bot.run("--until", end)
        found = bot.ask("verify")
        expected = bot.replay(*sources)
    died = sum(deaths.values())
    print(f"{kills} lives, {died} violent deaths ({', '.join(f'{k} {v}' for k, v in deaths.items())})")
    print(f"{found['inputs']} inputs; digest {found['digest'][:16]}, uninterrupted {expected[:16]}")
    return 0 if found["digest"] == expected else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bars", type=int, default=30_000)
    given = parser.parse_args()
    sys.exit(sweep(given.kills, given.seed, given.bars))
