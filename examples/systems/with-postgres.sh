#!/usr/bin/env bash
# Runs a command with a PostgreSQL of its own on loopback, whose address is in DATABASE_URL.
#
#   examples/systems/with-postgres.sh COMMAND [ARGUMENT...]
#
# The server is Debian's (or any that is on the PATH). As root, the script installs it if it is not
# there, and runs it as the user `postgres`, since PostgreSQL refuses to run as root. Data and log are
# in a directory of their own, which is removed at the end, with the server. Where no server is installed
# and none can be installed, the script says why, runs nothing, and exits with 77. A server that does not start is a
# failure like any other (1).
set -euo pipefail

give_up() {
    echo "no PostgreSQL, so what needs it is not run: $*" >&2
    exit 77
}

fail() {
    echo "PostgreSQL is installed, but $*" >&2
    exit 1
}

find_server() {
    local directory
    for directory in "$(dirname "$(readlink -f "$(command -v pg_ctl || echo /nowhere/pg_ctl)")")" \
        $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tac); do
        if [ -x "$directory/initdb" ] && [ -x "$directory/pg_ctl" ]; then
            echo "$directory"
            return
        fi
    done
}

bin=$(find_server)
if [ -z "$bin" ]; then
    command -v apt-get >/dev/null || give_up "it is not installed, and there is no apt-get"
    [ "$(id -u)" = 0 ] || give_up "it is not installed: sudo apt-get install postgresql"
    echo "installing postgresql" >&2
    install_package() { DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$1"; }
    { apt-get update -qq && install_package postgresql-common; } >/dev/null || give_up "apt-get could not install it"
    # Otherwise Debian's package makes a database of its own, on port 5432, which starts at each boot.
    conf=/etc/postgresql-common/createcluster.conf
    trap 'mv -f "$conf.before-reveille" "$conf"' EXIT
    sed -i.before-reveille '/^#* *create_main_cluster/d; $a create_main_cluster = false' "$conf"
    install_package postgresql >/dev/null && installed=yes || installed=
    mv "$conf.before-reveille" "$conf"
    trap - EXIT
    [ "$installed" ] || give_up "apt-get could not install it"
    bin=$(find_server)
    [ -n "$bin" ] || fail "there is no initdb"
fi

if [ "$(id -u)" = 0 ]; then
    id postgres >/dev/null 2>&1 || give_up "there is no user postgres, and it does not run as root"
fi
data=$(mktemp -d "${TMPDIR:-/tmp}/postgres.XXXXXX")
as=()
if [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid=postgres --regid=postgres --clear-groups env HOME="$data")
    chown postgres "$data"
fi

stop() {
    "${as[@]}" "$bin/pg_ctl" -D "$data/db" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$data"
}
trap stop EXIT

# It is for tests: nothing has to survive a crash of the machine.
cd "$data"
"${as[@]}" "$bin/initdb" -D "$data/db" -U postgres -A trust -E UTF8 --locale=C --no-sync >/dev/null ||
    fail "initdb has failed"
started=
for attempt in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 20000))
    options="-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories= -c fsync=off"
    if "${as[@]}" "$bin/pg_ctl" -D "$data/db" -w -t 60 -o "$options" -l "$data/log" start >/dev/null; then
        started=yes
        break
    fi
done
if [ -z "$started" ]; then
    cat "$data/log" >&2
    fail "the server does not start"
fi
cd "$OLDPWD"

DATABASE_URL="host=127.0.0.1 port=$port user=postgres dbname=postgres" "$@"
