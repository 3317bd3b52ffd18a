"""Queue file and store: whether they are sound, of this version, and have room to grow."""

from webhook_runner.broker.sqlite.examine import Examined, examine
from webhook_runner.observe.redact import clean
from webhook_runner.process.doctor.check import Check, note, ok, problem, warning
from webhook_runner.settings import NO_STORE
from webhook_runner.store.examine import examine as examine_store
from webhook_runner.store.sighting import Sighting

_LITTLE_ROOM = 104_857_600
_SOME_ROOM = 1_073_741_824
_MEBIBYTE = 1_048_576


def check_queue_file(path: str) -> list[Check]:
    """Look at the queue file of the embedded broker and at its disk."""
    return judge_queue_file(path, examine(path))


def judge_queue_file(path: str, seen: Examined) -> list[Check]:
    area = "queue file"
    if seen.problem:
        remedy = f"stop the daemon, keep a copy, `webhook-runner salvage {path} NEW_FILE`"
        return [
            problem(area, f"{path}: {seen.problem}", remedy if "damaged" in seen.problem else "")
        ]
    if not seen.exists:
        found = [ok(area, f"{path} is made at the first start")]
    elif seen.owner:
        found = [ok(area, f"{path}: process {seen.owner} has it; its content was not looked at")]
    elif seen.unchecked:
        found = [note(area, f"{path}: not looked at: {seen.unchecked}")]
    else:
        found = [ok(area, f"{path} is sound; {seen.waiting} tasks wait in it")]
    if seen.dead or seen.invalid:
        text = f"{path} keeps {seen.dead} dead and {seen.invalid} invalid messages"
        found.append(note(area, text, "`webhook-runner dead list`, `webhook-runner invalid list`"))
    if seen.free_bytes:
        found.append(judge_room(path, seen.free_bytes))
    return found


def judge_room(path: str, free: int) -> Check:
    text = f"{free // _MEBIBYTE} MiB free on the disk of {path}"
    if free < _LITTLE_ROOM:
        return problem("disk", text, "make room: on a full disk no task is taken")
    return (
        warning("disk", text, "make room before it is full")
        if free < _SOME_ROOM
        else ok("disk", text)
    )


def check_store(url: str) -> Check:
    """Look at the store of an address; ``url`` may hold a password."""
    if url == NO_STORE:
        remedy = '[store] url = "sqlite:/path/state.db" for one daemon, "postgresql://..." for many'
        return note("store", "none: nobody can ask what became of a task, or replay it", remedy)
    return judge_store(clean(url), examine_store(url))


def judge_store(name: str, seen: Sighting) -> Check:
    if seen.problem:
        return problem("store", f"{name}: {seen.problem}")
    if seen.unchecked:
        return note("store", f"{name}: not looked at: {seen.unchecked}")
    if seen.owner:
        return ok("store", f"{name}: process {seen.owner} has it; its content was not looked at")
    if not seen.exists:
        return ok("store", f"{name} is made at the first start")
    if seen.version < seen.known:
        text = f"{name}: its tables are of version {seen.version}, and {seen.known} is known"
        return note("store", text, "the next start of the daemon takes the steps between; back up")
    return ok("store", f"{name} is there, its tables of version {seen.version}")
