"""The statements that write and answer: many asks in two statements, or each by itself."""

from collections.abc import Iterable, Sequence

import msgspec
import psycopg
from psycopg import Connection

from webhook_runner.store.postgresql.writing import REFUSED, advance
from webhook_runner.store.work import Answer, cleaned
from webhook_runner.task.record import Claim, Holder, TaskRecord

Ask = TaskRecord | Claim

_TRIES = 5
_CLAIM = """
INSERT INTO wr_claim AS c
SELECT key, id, run, decode(fingerprint, 'base64'), until, false FROM json_to_recordset(%s::json)
  AS x (key text, id text, run bigint, fingerprint text, until double precision)
ON CONFLICT (key) DO UPDATE
SET id = excluded.id, run = excluded.run, fingerprint = excluded.fingerprint,
  until = excluded.until, kept = false
WHERE c.until <= %s
RETURNING key"""
_HOLDERS = "SELECT key, id, run, fingerprint, kept FROM wr_claim WHERE key = ANY(%s)"


def answers(connection: Connection, asks: Sequence[Ask]) -> list[Answer]:
    """Write what is asked and say what came of each; ValueError for what cannot be stored.

    Raises psycopg.Error.
    """
    together = _first_of_each(asks)
    try:
        with connection.transaction():
            found = _together(connection, [asks[number] for number in together])
    except (*REFUSED, psycopg.errors.DeadlockDetected):
        found, together = [], []
    told = dict(zip(together, found, strict=True))
    return [
        told[number] if number in told else _singly(connection, ask)
        for number, ask in enumerate(asks)
    ]


def _first_of_each(asks: Sequence[Ask]) -> list[int]:
    """Return which asks can go together: those of one key or run only one after the other."""
    firsts: dict[object, int] = {}
    for number, ask in enumerate(asks):
        firsts.setdefault(_key(ask), number)
    return list(firsts.values())


def _key(ask: Ask) -> object:
    return ask.key if isinstance(ask, Claim) else (ask.id, ask.run)


def _together(connection: Connection, asks: Sequence[Ask]) -> list[Answer]:
    claims = [ask for ask in asks if isinstance(ask, Claim)]
    rows = [ask for ask in asks if isinstance(ask, TaskRecord)]
    holders = _claim(connection, claims) if claims else {}
    # In one order: another daemon may write the same rows.
    rows.sort(key=lambda row: (row.id, row.run))
    changed = advance(connection, rows) if rows else set()
    return [
        holders[ask.key] if isinstance(ask, Claim) else (ask.id, ask.run) in changed for ask in asks
    ]


def _singly(connection: Connection, ask: Ask) -> Answer:
    try:
        (found,) = _together(connection, [cleaned(ask)])
    except REFUSED as error:
        return ValueError(f"the store does not take it: {error}")
    return found


def _claim(connection: Connection, claims: Iterable[Claim]) -> dict[str, Holder]:
    """Return who has each key now: who claims it, or who had it before."""
    wanted = {claim.key: claim for claim in claims}
    holders: dict[str, Holder] = {}
    for _ in range(_TRIES):
        left = [wanted[key] for key in sorted(wanted.keys() - holders.keys())]
        if not left:
            return holders
        now = min(claim.at for claim in left)
        given = msgspec.json.encode(left).decode()
        for (key,) in connection.execute(_CLAIM, (given, now)).fetchall():
            mine = wanted[key]
            holders[key] = Holder(mine.id, mine.run, mine.fingerprint, is_new=True, kept=False)
        # Who has a key may give it back between the two statements: then it is claimed again.
        others = [claim.key for claim in left if claim.key not in holders]
        for key, name, run, fingerprint, kept in connection.execute(_HOLDERS, (others,)).fetchall():
            holders[key] = Holder(name, run, fingerprint, is_new=False, kept=kept)
    raise psycopg.OperationalError("claims were made and given back too often")
