"""Findings of chaos runs in words: a line for each figure, and the closing line."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console

from bench.findings import Findings
from bench.histogram import lines_of
from bench.run import Result


def tell(result: Result, console: Console) -> None:
    """Print the findings of one run."""
    run, findings, out = result.run, result.findings, console.out
    out(
        f"broker {run.broker}  daemons {run.daemons}  store {run.store}  seed {run.seed}  "
        f"{result.seconds:.0f} s  requests {findings.requests}"
    )
    done = Counter(event.kind for event in result.events)
    out("faults " + (", ".join(f"{kind} {done[kind]}" for kind in sorted(done)) or "none"))
    _tell_tasks(findings, console)
    _tell_repeats(findings, console)
    p50, p99, most = findings.late_ms
    out(f"late: half at most {p50:.0f} ms, 99 % {p99:.0f} ms, all {most:.0f} ms")
    for line in lines_of(findings.lateness) if findings.lateness else ():
        out(line)
    if not findings.passed:
        _tell_wrong(findings, console)
    out(closing_line([result]))


def closing_line(results: Sequence[Result]) -> str:
    """Return the last line over all runs."""
    found = [result.findings for result in results]
    lost, duplicated, early = (
        sum(getattr(each, name) for each in found) for name in ("lost", "duplicated", "early")
    )
    verdict = "PASS" if found and all(each.passed for each in found) else "FAIL"
    return f"lost {lost} duplicated {duplicated} early {early} {verdict}"


def as_json(results: Sequence[Result]) -> dict[str, object]:
    """Return everything that is known of the runs, with what it takes to repeat them."""
    runs = [
        {
            "run": asdict(each.run),
            "passed": each.findings.passed,
            "seconds": round(each.seconds, 1),
            "findings": asdict(each.findings),
            "events": [asdict(event) for event in each.events],
        }
        for each in results
    ]
    return {"closing_line": closing_line(results), "runs": runs}


def _tell_tasks(findings: Findings, console: Console) -> None:
    out, ran = console.out, findings.unknown_that_ran
    out(f"accepted {findings.accepted}  unanswered {findings.unknown}, of which {ran} ran")
    out(f"wrong ends {findings.wrong_ends}  attempts {findings.wrong_attempts}", end="  ")
    out(f"ids {findings.wrong_ids}  started after expiry {findings.late_starts}")
    most = ", ".join(f"{name} {peak}" for name, peak in findings.peaks.items() if "/" not in name)
    out(f"over limit {findings.over_limit}: at once at most {most} of {findings.limit} each")
    out(f"left in the broker besides dead letters: {findings.leftovers or 'nothing'}")


def _tell_repeats(findings: Findings, console: Console) -> None:
    out = console.out
    out(f"requests repeated {findings.duplicated}, unmarked {findings.unmarked}", end="  ")
    out(f"roll-backs repeated {findings.undone_twice}", end="  ")
    out(f"dead letters repeated {findings.buried_twice}  two ends {findings.undecided}")
    out(f"of these without a fault that explains them {findings.unexplained}")
    out(f"unsettled at the faults: as the receiver saw it {findings.at_risk}", end="; ")
    out(f"at most {findings.bound}")


def _tell_wrong(findings: Findings, console: Console) -> None:
    for trouble in findings.troubles:
        console.out(f"  trouble: {trouble}")
    for what, examples in findings.examples.items():
        for example in examples:
            console.out(f"  {what}: {example}")
