#!/bin/sh
# Make libfaketime available, which sets the clock of one process: silent when it is there.
set -u
. "$(dirname "$0")/apt.sh"

installed() {
  for library in /usr/lib/*/faketime/libfaketime.so.1 /usr/lib/faketime/libfaketime.so.1 \
    /usr/lib64/faketime/libfaketime.so.1 /usr/local/lib/faketime/libfaketime.so.1; do
    [ -f "$library" ] && return 0
  done
  return 1
}

installed && exit 0
if can_install; then
  echo "installing Debian's libfaketime"
  apt_install libfaketime && exit 0
fi
cat >&2 <<'END'
There is no libfaketime here and it could not be installed: the tests of clocks that are set will
be skipped. As root on Debian or Ubuntu: apt-get install libfaketime
END
exit 1
