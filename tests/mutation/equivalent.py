"""Changes that change nothing anybody could notice, by file and name, with the reason."""

_FOREVER = "stands for ever, whichever number of years that is"
_CONTINUOUS = "where doubling ends and even growth begins both give the same"
_FASTER = "a cache or a short cut, which gives what the long way gives"
_NO_TYPE = "a name of types, which pydantic does not read"

_SHORT = "len(name) <= _LONGEST_REMEMBERED"
_ROOM = "len(_faultless) < _MOST_REMEMBERED"
_KEPT = f"{_SHORT} and {_ROOM}"

EQUIVALENT: dict[str, dict[str, str]] = {
    "webhook_runner/policy/backoff.py": {
        "LONGEST: 100 -> 101": _FOREVER,
        "LONGEST: 365.25 -> 366.25": _FOREVER,
        "LONGEST: 86400.0 -> 86401.0": _FOREVER,
        "backoff: retry <= doublings + 1 -> retry < doublings + 1": _CONTINUOUS,
        "backoff: 1 -> 2": _CONTINUOUS,
    },
    "webhook_runner/dispatch/guard.py": {
        "Profile: ('internal', 'public') -> without 'internal'": _NO_TYPE,
        "Profile: ('internal', 'public') -> without 'public'": _NO_TYPE,
        "Profile: 'internal' -> 'internalX'": _NO_TYPE,
        "Profile: 'public' -> 'publicX'": _NO_TYPE,
    },
    "webhook_runner/dispatch/wellformed.py": {
        "_LONGEST_REMEMBERED: 64 -> 65": _FASTER,
        "_MOST_REMEMBERED: 512 -> 513": _FASTER,
        f"_name_fault: {_KEPT[:-2]}… -> {_SHORT} or {_ROOM}": _FASTER,
        f"_name_fault: {_KEPT[:-2]}… -> not ({_KEPT[:-7]}…": _FASTER,
        f"_name_fault: {_SHORT} -> len(name) < _LONGEST_REMEMBERED": _FASTER,
        f"_name_fault: {_SHORT} -> len(name) > _LONGEST_REMEMBERED": _FASTER,
        f"_name_fault: {_ROOM} -> len(_faultless) <= _MOST_REMEMBERED": _FASTER,
        f"_name_fault: {_ROOM} -> len(_faultless) >= _MOST_REMEMBERED": _FASTER,
        "_name_fault: _faultless.add(name) -> pass": _FASTER,
    },
}
