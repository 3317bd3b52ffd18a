#!/bin/sh
# Make a RabbitMQ server available: silent when there is one, Debian's package where we may.
# With the word a-running-one-will-do, a broker that listens on 127.0.0.1:5672 suffices.
set -u

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

may_install() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1
}

install_package() {
  log=$(mktemp) || return 1
  policy=/usr/sbin/policy-rc.d
  ours=
  # Debian's package would start a service; exit code 101 of this file forbids it.
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy && ours=yes
  fi
  trap '[ -z "$ours" ] || rm -f $policy; rm -f "$log"' EXIT
  trap 'exit 1' HUP INT TERM
  export DEBIAN_FRONTEND=noninteractive
  apt='apt-get --quiet --quiet --option DPkg::Lock::Timeout=300'
  $apt update >"$log" 2>&1
  $apt install --yes --no-install-recommends rabbitmq-server >>"$log" 2>&1 </dev/null && installed && return 0
  tail -n 15 "$log" >&2
  return 1
}

[ -z "${WEBHOOK_RUNNER_TEST_AMQP_URL:-}" ] || exit 0
installed && exit 0
[ "${1:-}" = a-running-one-will-do ] && running && exit 0
if may_install; then
  echo "installing Debian's rabbitmq-server (it is not started as a service)"
  install_package && exit 0
fi
docker_answers && exit 0
cat >&2 <<'END'
There is no RabbitMQ server here and none could be installed. One of these helps:
  - as root on Debian or Ubuntu: apt-get install rabbitmq-server (its service need not run)
  - a Docker engine that answers `docker info`
  - the address of a broker for the tests: export WEBHOOK_RUNNER_TEST_AMQP_URL=amqp://...
END
exit 1
