#!/bin/sh
# Make `ip` and `unshare` available, for tests in a network of their own: silent when they are there.
set -u
. "$(dirname "$0")/apt.sh"

installed() {
  command -v ip >/dev/null 2>&1 && command -v unshare >/dev/null 2>&1
}

installed && exit 0
if can_install; then
  echo "installing Debian's iproute2 and util-linux"
  apt_install 'iproute2 util-linux' && exit 0
fi
cat >&2 <<'END'
There is no `ip` or no `unshare` here, and none could be installed: tests of the egress guard do without
a network of their own, and say so. As root on Debian or Ubuntu: apt-get install iproute2 util-linux
END
exit 1
