#!/usr/bin/env python3
"""mini-redis on `reveille::time` and on `tokio::time`: CPU and context switches of the server.

    ./run.py [--rounds N] [--seconds N] [--clients 50] [--rate 1800] [--servers "default,1 ms"]

Copies the published crate out of cargo's registry, changes its import of `tokio::time`, builds both
servers, and has clients set keys that expire after 1 to 100 ms. The rounds are interleaved; the
figures are medians, and the ratios medians of the rounds' ratios.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
COPY = HERE / "build/mini-redis"
# Name, program, SLACK_US.
SERVERS = [
    ("tokio", "redis_tokio", None),
    ("default", "redis_ours", None),
    ("150 us", "redis_ours", "150"),
    ("1 ms", "redis_ours", "1000"),
]


def port_the_crate():
    """Makes the copy whose timers are ours."""
    # The workspace needs its member before cargo can tell where the original is.
    (COPY / "src").mkdir(parents=True, exist_ok=True)
    (COPY / "src/lib.rs").touch()
    original = HERE / "build/original"
    (original / "src").mkdir(parents=True, exist_ok=True)
    (original / "src/lib.rs").touch()
    (original / "Cargo.toml").write_text(
        '[package]\nname = "original"\nedition = "2021"\n[dependencies]\nmini-redis = "=0.4.1"\n[workspace]\n'
    )
    command = ["cargo", "metadata", "--format-version", "1", "--manifest-path", original / "Cargo.toml"]
    packages = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["packages"]
    manifest = next(p["manifest_path"] for p in packages if p["name"] == "mini-redis")
    source = pathlib.Path(manifest).parent
    shutil.rmtree(COPY)
    shutil.copytree(source / "src", COPY / "src")
    shutil.rmtree(COPY / "src/bin")
    changed = 0
    for file in (COPY / "src").rglob("*.rs"):
        text = file.read_text()
        # Not in the examples of the docs, which are not built.
        lines = [
            line if line.lstrip().startswith("//") else line.replace("tokio::time", "reveille::time")
            for line in text.splitlines(keepends=True)
        ]
        changed += "".join(lines) != text
        file.write_text("".join(lines))
    assert changed == 2, f"{changed} files import tokio::time"
    manifest = (source / "Cargo.toml").read_text()
    for section in ("[[bin]]", "[dev-dependencies"):
        while section in manifest:
            start = manifest.index(section)
            end = manifest.find("\n[", start + 1)
            manifest = manifest[:start] + (manifest[end + 1 :] if end > 0 else "")
    manifest = manifest.replace('name = "mini-redis"', 'name = "mini-redis-ported"')
    manifest += '\n[dependencies.reveille]\npath = "../../../.."\nfeatures = ["tokio"]\n'
    (COPY / "Cargo.toml").write_text(manifest)


def spent(pid):
    """CPU seconds and voluntary context switches of a process."""
    nanos = switches = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        nanos += int((task / "schedstat").read_text().split()[0])
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                switches += int(line.split()[1])
    return nanos / 1e9, switches


def run(binaries, program, slack, args):
    env = dict(os.environ, RUST_LOG="error")
    env.pop("SLACK_US", None)
    if slack:
        env["SLACK_US"] = slack
    server = subprocess.Popen([binaries / program], env=env, stdout=subprocess.PIPE, text=True)
    try:
        port = server.stdout.readline().strip()
        numbers = [port, args.clients, args.rate, args.seconds + 1]
        load = subprocess.Popen(
            [binaries / "load", *map(str, numbers)], stdout=subprocess.PIPE, text=True
        )
        time.sleep(0.7)
        cpu, switches = spent(server.pid)
        time.sleep(args.seconds)
        cpu2, switches2 = spent(server.pid)
        count = int(load.communicate()[0])
    finally:
        server.kill()
        server.wait()
    return {
        "cpu": 100 * (cpu2 - cpu) / args.seconds,
        "switches": (switches2 - switches) / args.seconds,
        "keys": count / (args.seconds + 1),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--rate", type=int, default=1800)
    parser.add_argument("--servers", default="default,150 us,1 ms", help="those beside tokio")
    parser.add_argument("--no-build", action="store_true")
    args = parser.parse_args()
    names = [name for name, _, _ in SERVERS if name != "tokio"]
    if unknown := set(args.servers.split(",")) - set(names):
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(names)}")
    if not args.no_build:
        port_the_crate()
        # Named, because CARGO_TARGET_DIR may name another one.
        command = ["cargo", "build", "--release", "--manifest-path", HERE / "Cargo.toml"]
        subprocess.run([*command, "--target-dir", HERE / "target"], check=True)
    binaries = HERE / "target/release"
    servers = [s for s in SERVERS if s[0] == "tokio" or s[0] in args.servers.split(",")]
    runs = {name: [] for name, _, _ in servers}
    for _ in range(args.rounds):
        for name, program, slack in servers:
            runs[name].append(run(binaries, program, slack, args))
    print("| server | CPU % | / tokio | switches/s | / tokio | keys/s |")
    print("|---|---|---|---|---|---|")
    for name, each in runs.items():
        row = [name]
        for metric in ("cpu", "switches"):
            values = [r[metric] for r in each]
            ratios = [r[metric] / t[metric] for r, t in zip(each, runs["tokio"])]
            row += [f"{statistics.median(values):.1f}", f"{statistics.median(ratios):.2f}"]
        row.append(f"{statistics.median(r['keys'] for r in each):.0f}")
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
