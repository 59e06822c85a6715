#!/usr/bin/env bash
# Runs the timer tests of tokio 1.54.1 against reveille, with nothing changed but the import.
#
#   tests/from_tokio/run.sh          # reveille's timers: all pass but three, see below
#   tests/from_tokio/run.sh tokio    # tokio's own, to see that the tests are run right
set -euo pipefail
cd "$(dirname "$0")"

files=(time_sleep time_pause time_interval time_timeout time_panic time_rt test_clock rt_time_start_paused)
# These three assert a panic where reveille works: a timer made outside of a runtime, or in one
# without time, runs on the process-wide thread.
expected="creating_sleep_outside_of_context timeout_at_panic_caller timeout_panic_caller"
import='s/tokio::time/reveille::time/g'
if [ "${1:-}" = tokio ]; then
    expected=""
    import=''
fi

package=$(cargo metadata --format-version 1 --quiet |
    sed 's/"manifest_path"/\n&/g' |
    sed -n 's|^"manifest_path":"\([^"]*/tokio-1\.54\.1\)/Cargo\.toml".*|\1|p' | head -n 1)
mkdir -p tests
for file in "${files[@]}"; do
    sed "$import" "$package/tests/$file.rs" >"tests/$file.rs"
done
cp -r "$package/tests/support" tests/

target=${CARGO_TARGET_DIR:-../../target/from_tokio}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
RUSTFLAGS="--cap-lints allow" timeout 900 cargo test --quiet --no-fail-fast --target-dir "$target" --tests --no-run
# A test that hangs ends the run.
RUSTFLAGS="--cap-lints allow" timeout 300 cargo test --no-fail-fast --target-dir "$target" --tests >"$log" 2>&1 || true

passed=$(grep -c '^test .*\.\.\. ok$' "$log" || true)
failed=$(sed -n 's/^test \([a-z0-9_]*\).*\.\.\. FAILED$/\1/p' "$log" | sort | tr '\n' ' ' | sed 's/ $//')
echo "passed: $passed; failed: ${failed:-none}"
if [ "$failed" != "$expected" ] || [ "$((passed + $(wc -w <<<"$failed")))" -ne 81 ]; then
    echo "expected to fail: ${expected:-none}; and 81 in all" >&2
    cat "$log" >&2
    exit 1
fi
