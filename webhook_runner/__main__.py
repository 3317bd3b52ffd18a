"""Lets `python -m webhook_runner` stand for the command."""

from webhook_runner.cli.app import main

if __name__ == "__main__":
    main()
