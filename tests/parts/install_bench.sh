#!/bin/sh
# Make a C compiler with OpenSSL's headers and Go with its AMQP library available, for the rivals
# and the receiver of `make bench`: silent when they are there.
set -u

installed() {
  command -v cc >/dev/null 2>&1 && [ -f /usr/include/openssl/ssl.h ] &&
    command -v go >/dev/null 2>&1 && [ -d /usr/share/gocode/src/github.com/rabbitmq/amqp091-go ]
}

packages='gcc libc6-dev libssl-dev golang-go golang-github-rabbitmq-amqp091-go-dev'

install_packages() {
  log=$(mktemp) || return 1
  trap 'rm -f "$log"' EXIT
  trap 'exit 1' HUP INT TERM
  export DEBIAN_FRONTEND=noninteractive
  apt='apt-get --quiet --quiet --option DPkg::Lock::Timeout=300'
  # The lists may be recent enough; fetching them takes longer than all the rest.
  for step in 'true' "$apt update"; do
    $step >>"$log" 2>&1
    # shellcheck disable=SC2086
    $apt install --yes --no-install-recommends $packages >>"$log" 2>&1 </dev/null && installed && return 0
  done
  tail -n 15 "$log" >&2
  return 1
}

installed && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "installing Debian's $packages"
  install_packages && exit 0
fi
cat >&2 <<END
There is no C compiler with OpenSSL's headers, or no Go with its AMQP library, and they could not be
installed: without the former there is no benchmark, without the latter its lines of Go stay empty.
As root on Debian or Ubuntu: apt-get install $packages
END
exit 1
