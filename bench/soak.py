"""`make soak`: a live session against a venue that does everything wrong, for some minutes.

The digest at the end must be that of replay, because all data did arrive in the end; memory must stay flat.
"""

import argparse
import re
import socket
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from livelab import Bot, VenueProcess
from test_live import two_markets, until

FAULTS = {
    "disconnect": 0.0008,
    "silence": 0.0008,
    "duplicate": 0.02,
    "reorder": 0.02,
    "delay": 0.02,
    "lost_last": 0.02,
    "malformed": 0.005,
    "truncated": 0.002,
    "http_429": 0.02,
    "http_418": 0.002,
    "http_500": 0.02,
    "not_json": 0.02,
    "skew": 1.5,
}


def rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stall_s(port: int) -> float:
    """The event loop's longest stall of the last minute or two; 0 where nothing answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return 0.0
    found = re.search(r"^paperbot_loop_stall_seconds(?:{})? (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def soak(minutes: float, seed: int) -> int:
    bars = max(int(minutes * 60 * 50), 200)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files, sources = two_markets(folder, bars)
        faults = [part for fault, share in FAULTS.items() for part in ("--fault", f"{fault}={share}")]
        options = ("--speed", "3000", "--seed", str(seed), *faults)
        with VenueProcess(folder, *sources, options=options) as venue:
            bot = Bot(folder, {**venue.settings(), "run.artifacts_every_s": "20"})
            port = free_port()
            process = bot.start("--until", until(files["ETH/USDT"]), PROMETHEUS_PORT=str(port))
            sizes, stalls, began = [], [0.0], time.monotonic()
            while process.poll() is None:
                time.sleep(1.0)
                if process.poll() is None:
                    sizes.append(rss_mb(process.pid))
                    stalls.append(stall_s(port))
                if time.monotonic() - began > minutes * 60 * 4 + 120:
                    process.kill()
            log = (folder / "run.log").read_text()
            assert process.returncode == 0, log[-3000:]
        found = bot.ask("verify")
        expected = bot.replay(*sources)
        seen = {word: log.count(word) for word in ("bar_refused", "venue_error")}
        codes = {code: log.count(f"code={code}") for code in ("malformed", "duplicate_bar", "late_bar", "bar_changed")}
    half = sizes[len(sizes) // 2 :]
    print(f"{time.monotonic() - began:.0f} s, {found['inputs']} inputs, {seen}, {codes}")
    print(f"RSS: {min(sizes):.0f} MB at the start, {half[0]:.0f} MB at half, {half[-1]:.0f} MB at the end")
    later = sorted(stalls[len(stalls) // 2 :])
    print(f"longest stall of the loop: {1000 * max(stalls):.0f} ms, in the second half {1000 * later[-1]:.0f} ms")
    print(f"digest {found['digest'][:16]}, clean {expected[:16]}")
    is_flat = half[-1] - half[0] < 25
    return 0 if found["digest"] == expected and is_flat else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sys.exit(soak(given.minutes, given.seed))
