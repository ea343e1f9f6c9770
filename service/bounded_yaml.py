"""YAML from whoever sends it: built only where it is neither deep nor large when written out.

A few lines can name a billion values, and a reader spends seconds on some thousand brackets. So the
parser's events are counted first, which costs what the text is long.
"""

import yaml

from service.errors import SettingsError

DEEPEST = 32
MOST = 10_000
LONGEST = 1000
# The one in C is twenty times as fast; its absence changes nothing else.
_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


def read(text: str, what: str) -> object:
    """Builds the one value that a text in YAML or JSON stands for.

    Args:
        text: The text.
        what: What it is, for messages.

    Raises:
        SettingsError: it is not valid, more than `DEEPEST` levels deep, more than `MOST` values
            with every alias written out, or one of them is longer than `LONGEST` characters.
    """
    try:
        _count(text, what)
        return yaml.load(text, Loader=_LOADER)  # noqa: S506 (either of them is a safe one)
    # Values that claim to be a number or a date and are none raise all but YAMLError.
    except (yaml.YAMLError, ValueError, AttributeError, LookupError) as error:
        raise SettingsError(
            f"{what}: not valid YAML or JSON: {error}; expected one value in either"
        ) from error


def _count(text: str, what: str) -> None:
    """Raises SettingsError if the text stands for too much, before anything of it is built."""
    count = 0
    sizes: dict[str | None, int] = {}
    begun: list[tuple[str | None, int]] = []
    for event in yaml.parse(text, Loader=_LOADER):
        match event:
            case yaml.AliasEvent():
                if event.anchor not in sizes:
                    raise SettingsError(
                        f"{what}: got the alias *{event.anchor}, expected one of a value that has "
                        "ended before it"
                    )
                count += sizes[event.anchor]
            case yaml.ScalarEvent():
                # A number of many digits cannot even be written into a message.
                if len(event.value) > LONGEST:
                    raise SettingsError(
                        f"{what}: got a value of {len(event.value)} characters, expected at most "
                        f"{LONGEST}"
                    )
                count += 1
                sizes[event.anchor] = 1
            case yaml.CollectionStartEvent():
                begun.append((event.anchor, count))
                count += 1
            case yaml.CollectionEndEvent():
                anchor, before = begun.pop()
                sizes[anchor] = count - before
        if len(begun) > DEEPEST:
            raise SettingsError(
                f"{what}: got more than {DEEPEST} levels, expected at most that many"
            )
        if count > MOST:
            raise SettingsError(
                f"{what}: got more than {MOST} values, expected at most that many with every "
                "alias written out"
            )
