"""`doctor`: what keeps this installation from working, or soon might."""

import os
from collections import Counter
from dataclasses import asdict

import typer

from webhook_runner.cli.option import ConfigOption, OutputOption
from webhook_runner.cli.report import HELP, Exit, Output, print_json
from webhook_runner.process.doctor.check import Check, Verdict
from webhook_runner.process.doctor.examination import examine

EXAMPLES = """Examples:

  webhook-runner doctor

  webhook-runner doctor --config taskqueue.ini --output json"""

app = typer.Typer(add_completion=False)


@app.command(context_settings=HELP, epilog=EXAMPLES)
def doctor(config: ConfigOption = None, output: OutputOption = Output.TABLE) -> None:
    """Look at configuration, broker, store, clock and limits; change nothing.

    Exit 1 when there is a problem. Run it as the user that runs the daemon.
    """
    checks = examine(config, os.environ)
    is_well = all(check.verdict is not Verdict.PROBLEM for check in checks)
    if output is Output.JSON:
        print_json({"ok": is_well, "checks": [asdict(check) for check in checks]})
    else:
        _print_lines(checks)
    if not is_well:
        raise typer.Exit(Exit.ERROR)


def _print_lines(checks: list[Check]) -> None:
    width = max(len(check.area) for check in checks)
    for check in checks:
        remedy = f"; {check.remedy}" if check.remedy else ""
        typer.echo(f"{check.verdict:<7}  {check.area:<{width}}  {check.text}{remedy}")
    counts = Counter(check.verdict for check in checks)
    told = [f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]]
    typer.echo(", ".join(told), err=True)
