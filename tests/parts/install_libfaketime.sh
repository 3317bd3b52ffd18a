#!/bin/sh
# Make libfaketime available, which sets the clock of one process: silent when it is there.
set -u

installed() {
  for library in /usr/lib/*/faketime/libfaketime.so.1 /usr/lib/faketime/libfaketime.so.1 \
    /usr/lib64/faketime/libfaketime.so.1 /usr/local/lib/faketime/libfaketime.so.1; do
    [ -f "$library" ] && return 0
  done
  return 1
}

install_package() {
  log=$(mktemp) || return 1
  trap 'rm -f "$log"' EXIT
  trap 'exit 1' HUP INT TERM
  export DEBIAN_FRONTEND=noninteractive
  apt='apt-get --quiet --quiet --option DPkg::Lock::Timeout=300'
  # The lists may be recent enough; fetching them takes longer than all the rest.
  for step in 'true' "$apt update"; do
    $step >>"$log" 2>&1
    $apt install --yes --no-install-recommends libfaketime >>"$log" 2>&1 </dev/null && installed && return 0
  done
  tail -n 15 "$log" >&2
  return 1
}

installed && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "installing Debian's libfaketime"
  install_package && exit 0
fi
cat >&2 <<'END'
There is no libfaketime here and it could not be installed: the tests of clocks that are set will
be skipped. As root on Debian or Ubuntu: apt-get install libfaketime
END
exit 1
