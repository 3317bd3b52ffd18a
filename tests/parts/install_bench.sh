#!/bin/sh
# Make a C compiler with OpenSSL's headers available for the receiver of `make bench`, and Go with
# its AMQP library for the rivals; with the argument `c` the former alone. Silent when it is there.
set -u
. "$(dirname "$0")/apt.sh"
what=${1:-all}

installed() {
  command -v cc >/dev/null 2>&1 && [ -f /usr/include/openssl/ssl.h ] || return 1
  [ "$what" = c ] && return 0
  command -v go >/dev/null 2>&1 && [ -d /usr/share/gocode/src/github.com/rabbitmq/amqp091-go ]
}

packages='gcc libc6-dev libssl-dev'
[ "$what" = c ] || packages="$packages golang-go golang-github-rabbitmq-amqp091-go-dev"

installed && exit 0
if can_install; then
  echo "installing Debian's $packages"
  apt_install "$packages" && exit 0
fi
cat >&2 <<END
There is no C compiler with OpenSSL's headers$([ "$what" = c ] || echo ', or no Go with its AMQP library'), and it could not be installed:
without the former there is no benchmark, without the latter its lines of Go stay empty.
As root on Debian or Ubuntu: apt-get install $packages
END
exit 1
