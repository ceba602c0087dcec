"""`python -m paperbot.main`: what the environment asks for, the offline demo or a live session.

With arguments it is the `paperbot` command itself.
"""

import sys

from paperbot import cli
from paperbot.environment import read_environment


def main() -> None:
    """Run it; a user's mistake is one sentence on standard error and exit code 2."""
    with cli.one_sentence():
        default = ["demo"] if read_environment().offline_demo else ["run"]
    cli.main(sys.argv[1:] or default)


if __name__ == "__main__":
    main()
