#!/usr/bin/env bash
# run.sh TARGET SECONDS, or run.sh all SECONDS: fuzzes one target after the other.
#
# The corpus grows in fuzz/corpus/TARGET beside the seeds, which stay as they are; a finding is
# written to fuzz/artifacts/TARGET. cargo-fuzz wants features of a nightly compiler, which a stable
# one has too once it is told so.
set -eu
cd "$(dirname "$0")/.."
export RUSTC_BOOTSTRAP=1

[ $# = 2 ] || { echo "usage: fuzz/run.sh TARGET|all SECONDS" >&2; exit 2; }
seconds=$2

# Bytes of one input: enough for every limit that an input of this target can reach.
longest() {
    case $1 in
        config | request_body) echo 4096 ;;
        connection) echo 2048 ;;
        *) echo 3000 ;;
    esac
}

run() {
    mkdir -p "fuzz/corpus/$1"
    cargo fuzz run "$1" "fuzz/corpus/$1" "fuzz/seeds/$1" -- \
        -max_total_time="$seconds" -max_len="$(longest "$1")" -dict="fuzz/dictionaries/$1.dict" \
        -rss_limit_mb=2048 -malloc_limit_mb=128 -timeout=20 -print_final_stats=1
}

if [ "$1" = all ]; then
    for target in $(cargo fuzz list); do
        echo "== $target"
        run "$target"
    done
else
    run "$1"
fi
