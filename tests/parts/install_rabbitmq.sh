#!/bin/sh
# Make a RabbitMQ server available: silent when there is one, Debian's package where we may.
# With the word a-running-one-will-do, a broker that listens on 127.0.0.1:5672 suffices.
set -u
. "$(dirname "$0")/apt.sh"

installed() {
  for server in /usr/lib/rabbitmq/bin/rabbitmq-server \
    /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server \
    /opt/rabbitmq*/sbin/rabbitmq-server \
    /usr/local/opt/rabbitmq/sbin/rabbitmq-server /opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server; do
    [ -f "$server" ] && return 0
  done
  return 1
}

running() {
  python3 -c 'import socket; socket.create_connection(("127.0.0.1", 5672), 1)' 2>/dev/null
}

docker_answers() {
  command -v docker >/dev/null 2>&1 && docker info >/dev/null 2>&1
}

[ -z "${WEBHOOK_RUNNER_TEST_AMQP_URL:-}" ] || exit 0
installed && exit 0
[ "${1:-}" = a-running-one-will-do ] && running && exit 0
if can_install; then
  echo "installing Debian's rabbitmq-server (it is not started as a service)"
  apt_install rabbitmq-server && exit 0
fi
docker_answers && exit 0
cat >&2 <<'END'
There is no RabbitMQ server here and none could be installed. One of these helps:
  - as root on Debian or Ubuntu: apt-get install rabbitmq-server (its service need not run)
  - a Docker engine that answers `docker info`
  - the address of a broker for the tests: export WEBHOOK_RUNNER_TEST_AMQP_URL=amqp://...
END
exit 1
