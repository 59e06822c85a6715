#!/usr/bin/env bash
# Fails unless rustc names the feature to a program that uses something without enabling it.
#
# It does so where the item itself is configured out. A private stand-in of the same name, for the use
# of the crate itself, hides that: `module io is private`.
set -euo pipefail
cd "$(dirname "$0")"

# Fails unless the errors, with these features of the program, name that feature of reveille.
named() {
    local said
    said=$(cargo check --quiet --target-dir ../../target/hints --features "$1" 2>&1) && {
        echo "it compiles, with the features '$1'"
        exit 1
    }
    if ! grep -q "the \`$2\` feature" <<<"$said"; then
        printf '%s\n' "$said" "the feature \`$2\` is not named"
        exit 1
    fi
}

named '' rt
named '' test-util
# Linux only.
named rt io
named rt blocking
echo "all features are named"
