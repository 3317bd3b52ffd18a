#!/bin/sh
# Make a PostgreSQL server available: silent when there is one, Debian's package where we may.
set -u
. "$(dirname "$0")/apt.sh"

installed() {
  for initdb in /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb \
    /usr/local/opt/postgresql*/bin/initdb /opt/homebrew/opt/postgresql*/bin/initdb; do
    [ -f "$initdb" ] && return 0
  done
  command -v initdb >/dev/null 2>&1
}

docker_answers() {
  command -v docker >/dev/null 2>&1 && docker info >/dev/null 2>&1
}

install_package() {
  # Debian's package would make a cluster; this forbids it.
  common=/etc/postgresql-common
  if [ ! -e $common/createcluster.conf ]; then
    mkdir -p $common && echo 'create_main_cluster = false' >$common/createcluster.conf
  fi
  apt_install '--option Dpkg::Options::=--force-confold postgresql'
}

[ -z "${WEBHOOK_RUNNER_TEST_POSTGRESQL_URL:-}" ] || exit 0
installed && exit 0
if can_install; then
  echo "installing Debian's postgresql (it is not started as a service)"
  install_package && exit 0
fi
docker_answers && exit 0
cat >&2 <<'END'
There is no PostgreSQL server here and none could be installed. One of these helps:
  - as root on Debian or Ubuntu: apt-get install postgresql (its service need not run)
  - a Docker engine that answers `docker info`
  - the address of a database for the tests: export WEBHOOK_RUNNER_TEST_POSTGRESQL_URL=postgresql://...
END
exit 1
