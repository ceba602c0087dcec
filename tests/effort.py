"""How much effort a run makes: set by conftest.py from the options, before any test is imported."""

is_long = False
"""`make test-all`: the long tests too, and all examples."""
is_slow = False
"""`make slow`: what takes minutes, too."""


def amount(whole: int, short: int) -> int:
    """How many examples or rounds a test makes: in the whole suite, and in the short one."""
    return whole if is_long else short
