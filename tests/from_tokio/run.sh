#!/usr/bin/env bash
# Runs the timer tests of tokio, tokio-util and tokio-stream against reveille, with only the import
# changed, and fails unless exactly the tests fail that are listed here.
#
#   tests/from_tokio/run.sh [ours|theirs] [package...]
#
# `theirs` runs them on tokio's own timers, to check this script: then all pass. Without a package, all
# three are run. The tests are those of the published packages, as cargo unpacks them.
set -euo pipefail
cd "$(dirname "$0")"

# Package, file, number of tests.
suites="\
tokio         time_sleep             24
tokio         time_pause             18
tokio         time_interval          14
tokio         time_timeout            8
tokio         time_panic              6
tokio         time_rt                 5
tokio         test_clock              5
tokio         rt_time_start_paused    1
tokio         task_blocking          16
tokio-util    time_delay_queue       36
tokio-stream  chunks_timeout          2
tokio-stream  stream_chunks_timeout   1
tokio-stream  stream_timeout          3
tokio-stream  time_throttle           1
"

# File and test that fail here. The first three assert a panic where reveille works: a timer made
# outside of a runtime, or in one without time, uses the process-wide thread. The last asserts that a
# queue wakes its task although no item is due, as a timer wheel does on the way to a far deadline.
known="\
time_sleep        creating_sleep_outside_of_context
time_panic        timeout_panic_caller
time_panic        timeout_at_panic_caller
time_delay_queue  reset_later_after_slot_starts
"

# The import may be in a list with others. The trait of tokio-stream also has methods that have nothing
# to do with time: for those the tests use the trait of futures.
import='
s/tokio::time/reveille::time/g
s/tokio_util::time/reveille::time/g
s/^use tokio::{\(.*\), time};/use tokio::{\1}; use reveille::time;/
s/^use tokio_stream::StreamExt;/use futures::StreamExt as _; use reveille::StreamExt;/
s/^use tokio_stream::{self as stream, StreamExt};/use tokio_stream as stream; use futures::StreamExt as _; use reveille::StreamExt;/
'
case ${1:-ours} in
    ours) ;;
    theirs) known="" import="" ;;
    *) sed -n '2,9s/^# \{0,1\}//p' run.sh >&2 && exit 2 ;;
esac
wanted=" ${*:2} "
if [ $# -gt 1 ]; then
    suites=$(while read -r line; do
        [[ $wanted == *" ${line%% *} "* ]] && echo "$line" || true
    done <<<"$suites")
fi

export RUSTFLAGS="--cap-lints allow"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-../../target}/from_tokio

folders=$(cargo metadata --quiet --format-version 1 |
    grep -o '"manifest_path":"[^"]*/tokio[a-z-]*-[0-9.]*/Cargo.toml"' | cut -d '"' -f 4)
rm -rf tests
mkdir tests
while read -r package file _; do
    [ -n "$package" ] || continue
    folder=$(grep "/$package-[0-9.]*/Cargo.toml$" <<<"$folders")
    folder=${folder%/Cargo.toml}/tests
    sed "$import" "$folder/$file.rs" >"tests/$file.rs"
    # The files that tests share. They are in a folder, so cargo does not run them as tests.
    cp -R "$folder/support" tests/ 2>/dev/null || true
done <<<"$suites"

timeout 900 cargo test --quiet --tests --no-run

log=$(mktemp)
trap 'rm -f "$log"' EXIT
wrong=0
printf '%-13s %-22s %5s %6s %6s\n' package file tests passed failed
while read -r package file count; do
    [ -n "$package" ] || continue
    # If a test hangs, the timeout ends the run of its file, and the count is wrong.
    timeout 120 cargo test --quiet --no-fail-fast --test "$file" -- \
        --format pretty </dev/null >"$log" 2>&1 || true
    passed=$(grep -c '^test .*\.\.\. ok$' "$log" || true)
    failed=$(sed -n 's/^test \([a-zA-Z0-9_:]*\).*\.\.\. FAILED$/\1/p' "$log" | sort)
    expected=$(awk -v file="$file" '$1 == file { print $2 }' <<<"$known" | sort)
    failures=$(wc -w <<<"$failed")
    printf '%-13s %-22s %5d %6d %6d  %s\n' "$package" "$file" "$count" "$passed" "$failures" \
        "$(xargs <<<"$failed")"
    if [ "$failed" != "$expected" ] || [ $((passed + failures)) -ne "$count" ]; then
        wrong=1
        cat "$log"
        echo "expected: $count tests in $file.rs, and to fail: $(xargs <<<"${expected:-none}")"
    fi
done <<<"$suites"
exit "$wrong"
