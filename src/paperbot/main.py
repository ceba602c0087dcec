"""`python -m paperbot.main` runs the offline demo or a live session, depending on OFFLINE_DEMO.

With arguments it acts as the `paperbot` command.
"""

import sys

from paperbot import cli
from paperbot.environment import read_environment


def main() -> None:
    """Run the command; a user's mistake ends with one sentence on standard error and exit code 2."""
    with cli.one_sentence():
        default = ["demo"] if read_environment().offline_demo else ["run"]
    cli.main(sys.argv[1:] or default)


if __name__ == "__main__":
    main()
