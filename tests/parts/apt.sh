# Sourced: `apt_install "PACKAGES"`, with the caller's function `installed` to tell that all is there.

can_install() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1
}

apt_install() {
  log=$(mktemp) || return 1
  policy=/usr/sbin/policy-rc.d
  ours=
  # A package may start its service; exit code 101 of this file forbids it.
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy && ours=yes
  fi
  trap '[ -z "$ours" ] || rm -f $policy; rm -f "$log"' EXIT
  trap 'exit 1' HUP INT TERM
  export DEBIAN_FRONTEND=noninteractive
  apt='apt-get --quiet --quiet --option DPkg::Lock::Timeout=300'
  # The lists may be recent enough; fetching them takes longer than all the rest.
  for step in 'true' "$apt update"; do
    $step >>"$log" 2>&1
    # shellcheck disable=SC2086
    $apt install --yes --no-install-recommends $1 >>"$log" 2>&1 </dev/null && installed && return 0
  done
  tail -n 15 "$log" >&2
  return 1
}
