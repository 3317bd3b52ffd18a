#!/bin/sh
# Make `ip` and `unshare` available, for tests in a network of their own: silent when they are there.
set -u

there() {
  command -v ip >/dev/null 2>&1 && command -v unshare >/dev/null 2>&1
}

there && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "installing Debian's iproute2 and util-linux"
  log=$(mktemp) || exit 1
  trap 'rm -f "$log"' EXIT
  export DEBIAN_FRONTEND=noninteractive
  apt='apt-get --quiet --quiet --option DPkg::Lock::Timeout=300'
  $apt update >"$log" 2>&1
  $apt install --yes --no-install-recommends iproute2 util-linux >>"$log" 2>&1 </dev/null && there && exit 0
  tail -n 15 "$log" >&2
fi
cat >&2 <<'END'
There is no `ip` or no `unshare` here, and none could be installed: tests of the egress guard do without
a network of their own, and say so. As root on Debian or Ubuntu: apt-get install iproute2 util-linux
END
exit 1
