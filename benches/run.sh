#!/usr/bin/env bash
# Builds what a scenario needs and prints its table.
# NO_BUILD=1 takes the binaries as they are; VERBOSE=1 shows every window.
set -euo pipefail
usage='usage: benches/run.sh fanout|centrifugo|flatout|memory|slow|latency|nginx|cancel|start|instructions|all [--noise]'
scenario=${1:?$usage}
noise=${2:-}
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
tools=$PWD/benches/load/target

CARGO_TARGET_DIR=$tools cargo build -q --release --locked --manifest-path benches/load/Cargo.toml

build() {
    [ -n "${NO_BUILD:-}$noise" ] || cargo build -q --locked --profile "$1"
}

run() {
    case $1 in
        start) build release; build small ;;
        nginx)
            command -v nginx >/dev/null || { echo "nginx: needs nginx (Debian: nginx-light)" >&2; return 1; }
            build release ;;
        instructions)
            command -v valgrind >/dev/null || { echo "instructions: needs valgrind" >&2; return 1; }
            build profiling ;;
        *) build release ;;
    esac
    timeout 1800 "$tools/release/load" "$1" --target="$target" $noise
}

[ "$scenario" = all ] || { run "$scenario"; exit; }
failed=0
for each in start memory fanout centrifugo flatout slow latency nginx cancel instructions; do
    run "$each" || failed=1
done
exit $failed
