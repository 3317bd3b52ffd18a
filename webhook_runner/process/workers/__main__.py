"""Started by the parent, with the number of the descriptor of its socket: a worker."""

import sys

from webhook_runner.process.workers.wiring import work

if __name__ == "__main__":
    sys.exit(work(int(sys.argv[1])))
