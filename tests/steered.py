"""A venue whose time a test moves: `python tests/steered.py SYMBOL=FILE … [--updates N]`.

Its clock stands still until a line on standard input moves it, so that nothing depends on how fast the machine is:
- `play MS`: play the recording up to this time (ms UTC), as fast as the client reads it; wait while nobody listens.
- `skip MS`: jump to this time without sending anything, as for a client that is down meanwhile.
- `pace MS`: from now on take at least so many real milliseconds for each bar (0 at the start).

`reached MS` is printed when a move is done.
"""

import argparse
import asyncio
import os
import sys

from paperbot.exchange.serve import market_of
from paperbot.exchange.venue import Venue


class SteeredVenue(Venue):
    """A venue that plays its recording in pieces."""

    def __init__(self, *markets, updates):
        super().__init__(markets, updates=updates)
        self.moves = asyncio.Queue()
        self.pace_s = 0.0

    async def _play(self):
        tape = iter(self._tape)
        message = next(tape, None)
        while True:
            word, value = await self.moves.get()
            if word == "pace":
                self.pace_s = value / 1000
                continue
            while message is not None and message.at_ms <= value:
                if word == "play":
                    if self.pace_s and message.at_ms > self.clock.now_ms():
                        await asyncio.sleep(self.pace_s / self._updates)
                    await self._has_listeners.wait()
                    self.clock.reach(message.at_ms)
                    await self._send(message)
                    await asyncio.sleep(0)
                message = next(tape, None)
            if word == "play":
                await self._has_listeners.wait()
            self.clock.reach(value)
            print(f"reached {value}", flush=True)  # noqa: T201

    async def serve(self):
        """Serve until standard input ends. A player that fails ends the process: nobody would ever be answered."""
        await self.start()
        self._player.add_done_callback(lambda player: player.cancelled() or player.exception() is None or os._exit(1))
        print(f"venue at {self.url} and {self.ws_url}", flush=True)  # noqa: T201
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            word, value = line.decode().split()
            self.moves.put_nowait((word, int(value)))
        await self.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--updates", type=int, default=2)
    asked = parser.parse_args()
    asyncio.run(SteeredVenue(*(market_of(one, None) for one in asked.sources), updates=asked.updates).serve())
