#!/bin/sh
# Make a PostgreSQL server available: silent when there is one, Debian's package where we may.
set -u

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

may_install() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1
}

install_package() {
  log=$(mktemp) || return 1
  policy=/usr/sbin/policy-rc.d
  common=/etc/postgresql-common
  ours=
  # Debian's package would start a service and make a cluster; these two forbid it.
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy && ours=yes
  fi
  if [ ! -e $common/createcluster.conf ]; then
    mkdir -p $common && echo 'create_main_cluster = false' >$common/createcluster.conf
  fi
  trap '[ -z "$ours" ] || rm -f $policy; rm -f "$log"' EXIT
  trap 'exit 1' HUP INT TERM
  export DEBIAN_FRONTEND=noninteractive
  apt='apt-get --quiet --quiet --option DPkg::Lock::Timeout=300'
  $apt update >"$log" 2>&1
  $apt install --yes --no-install-recommends --option Dpkg::Options::=--force-confold postgresql >>"$log" 2>&1 </dev/null &&
    installed && return 0
  tail -n 15 "$log" >&2
  return 1
}

[ -z "${WEBHOOK_RUNNER_TEST_POSTGRESQL_URL:-}" ] || exit 0
installed && exit 0
if may_install; then
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
