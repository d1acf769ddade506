#!/usr/bin/env bash
# Starts three replicas, writes at one and reads at the others. Each has a port for
# HTTP and gossip: three arguments, or these.
set -euo pipefail
[ $# = 3 ] || set -- 8081 8082 8083
cd "$(dirname "$0")"; dir=$(mktemp -d); go build -o "$dir/cache" .
trap 'kill $(jobs -p) || true; wait; rm -r "$dir"' EXIT
for port; do
	"$dir/cache" -http "127.0.0.1:$port" -listen "127.0.0.1:$port" -seed "127.0.0.1:$1,127.0.0.1:$2,127.0.0.1:$3" 2>"$dir/$port.log" &
done
# curl tells of each try that fails, which is no news until the last one has.
ask() {
	curl -fsS --retry 9 --retry-max-time 30 --retry-connrefused --retry-all-errors "$@" 2>"$dir/curl" || { cat "$dir/curl" >&2; return 1; }
}
for port; do echo "$port is $(ask "127.0.0.1:$port/readyz")"; done
[ "$(jobs -rp | wc -l)" -eq 3 ] || { cat "$dir"/*.log >&2; exit 1; } # somebody else has a port
ask -X PUT -d 'hello, replicas' "127.0.0.1:$1/cache/greeting"
for port; do echo "$port has $(ask "127.0.0.1:$port/cache/greeting")"; done
