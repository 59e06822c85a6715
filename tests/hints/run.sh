#!/usr/bin/env bash
# Fails unless rustc names the feature to a program that uses something without enabling it.
#
# rustc does so if the item itself is configured out. If the crate has a private module of the same name
# instead, rustc only says that the module is private.
set -euo pipefail
cd "$(dirname "$0")"

# Fails unless the errors, with feature $1 of the program, name feature $2 of reveille.
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
named '' hyper
named '' metrics
# Linux only.
named rt io
named rt blocking
echo "all features are named"
