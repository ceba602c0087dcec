"""`python -m paperbot.main`: what the environment asks for, the offline demo or a live session.

With arguments it is the `paperbot` command itself.
"""

import sys

from paperbot import cli
from paperbot.config import load
from paperbot.environment import credential_names, read_environment, required_secret
from paperbot.errors import CommandError


def main() -> None:
    """Run it; a user's mistake is one sentence on standard error and exit code 2."""
    with cli.one_sentence():
        if len(sys.argv) == 1 and not read_environment().offline_demo:
            settings = load(cli.config_path(None)).settings
            for name in credential_names(settings.exchange, settings.environment):
                required_secret(name, f"a live session on {settings.exchange} {settings.environment}")
            raise CommandError("live sessions are not part of this version; set OFFLINE_DEMO=1 for the offline demo")
    cli.main(sys.argv[1:] or ["demo"])


if __name__ == "__main__":
    main()
