#!/usr/bin/env python3
"""Dense timers: CPU against lateness, for several slacks, beside tokio on the same runtimes.

    ./dense.py [--rounds N] [--ms N] [--slacks default,150,1000] [--rows w4,w6m,w8]
               [--pairs ours_tokio_ct,..] [--bin DIR] [--results FILE]

Runs the programs of ../peers in interleaved rounds (build them first: `cargo build --release -p
bench-ours -p bench-tokio`, and then `cargo build --release -p bench-ours-tokio`, in ../peers) and
prints tables. Each figure is a median over the rounds, and each ratio the median of the rounds' ratios.
"wake-ups" are context switches: on one worker, one for each time that the timers wake it. `late x
wakes` is the lateness in seconds times the wake-ups a second: no driver whose wake-ups are spread
evenly can have less than 0.5 if timers are due at random. It takes the median lateness if the row has
one, since a moment in which the machine stands still weighs less in it than in the mean. With two
workers the switches are also those by which one worker wakes another, so the product says nothing
there. "each" is the CPU for each sleep or tick: in w6m a task that is woken earlier also sleeps again
earlier, so there are more sleeps. `--results` adds the rounds to a file, and prints tables of all
rounds in it with the same `--ms`. The last row, w6c, is a chain: one task, 2000 deadlines 500 us apart.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
# Ours and what it is compared with.
PAIRS = [
    ("ours_tokio_ct", "tokio_ct"),
    ("ours_tokio_mt", "tokio_mt"),
    ("ours", "tokio_ct"),
    ("ours_rt", "tokio_mt"),
]
# For each row: its arguments, the metrics of CPU in all and for each timer, and that of lateness (mean).
ROWS = {
    "w4": (["w4", "mode=wake", "n=100000", "late=1"], "cpu_ns_per_fire", "cpu_ns_per_fire", "late_mean"),
    "w6m": (["w6m"], "cpu_percent", "cpu_ns_per_sleep", "late_mean"),
    "w8": (["w8"], "cpu_percent", "cpu_ns_per_tick", "late_mean"),
    "w6c": (["w6c", "n=2000"], "cpu_ms", "cpu_ms", "late_mean"),
}


def run(bin_dir, contender, row, slack, ms):
    env = dict(os.environ, SHOW_SLACK="1")
    env.pop("SLACK_US", None)
    if slack not in (None, "default"):
        env["SLACK_US"] = slack
    command = [str(bin_dir / contender), *ROWS[row][0]]
    if row in ("w6m", "w8"):
        command.append(f"ms={ms}")
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    lines = map(json.loads, done.stdout.splitlines())
    result = {line["metric"]: line["value"] for line in lines} | {"ms": ms}
    if "switches" in result:
        result["switches_per_s"] = result["switches"]  # the chain takes a second
    for line in done.stderr.splitlines():
        if line.startswith("slack: "):
            result["slack"] = line.removeprefix("slack: ")
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ms", type=int, default=700)
    parser.add_argument("--slacks", default="default,150,1000")
    parser.add_argument("--rows", default="w4,w6m,w8,w6c")
    parser.add_argument("--pairs", default="", help="contenders of ours, all by default")
    parser.add_argument("--bin", default=HERE.parent / "peers/target/release", type=pathlib.Path)
    parser.add_argument("--results", type=pathlib.Path)
    args = parser.parse_args()
    slacks, rows = args.slacks.split(","), args.rows.split(",")
    # A name that is misspelt would be left out in silence.
    for given, known in ((rows, ROWS), (args.pairs.split(","), ["", *(ours for ours, _ in PAIRS)])):
        if unknown := set(given) - set(known):
            parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(filter(None, known))}")
    if wrong := [slack for slack in slacks if slack != "default" and not slack.isdigit()]:
        parser.error(f"{', '.join(wrong)}: a slack is a number of microseconds, or default")
    pairs = [p for p in PAIRS if not args.pairs or p[0] in args.pairs.split(",")]
    peers = sorted({peer for _, peer in pairs})

    runs = {}
    if args.results and args.results.exists():
        for line in args.results.read_text().splitlines():
            *key, result = json.loads(line)
            if result.get("ms") == args.ms:
                runs.setdefault(tuple(key), []).append(result)
    for _ in range(args.rounds):
        for row in rows:
            jobs = [(peer, None) for peer in peers]
            jobs += [(ours, slack) for ours, _ in pairs for slack in slacks]
            for contender, slack in jobs:
                result = run(args.bin, contender, row, slack, args.ms)
                runs.setdefault((contender, slack, row), []).append(result)
                if args.results:
                    with args.results.open("a") as file:
                        file.write(json.dumps([contender, slack, row, result]) + "\n")

    def values(contender, slack, row, metric):
        return [r.get(metric, 0) for r in runs[contender, slack, row]]

    def product(contender, slack, row):
        each = runs[contender, slack, row]
        if "switches_per_s" not in each[0]:
            return "-"
        late = "late_p50" if "late_p50" in each[0] else "late_mean"
        return f"{statistics.median(r[late] * r['switches_per_s'] / 1e6 for r in each):.2f}"

    def ratio(a, b):
        return statistics.median(x / y for x, y in zip(a, b))

    for row in rows:
        _, cpu, each, late = ROWS[row]
        print(f"\n{row} ({cpu}, {late} us)\n")
        print("| | slack | chosen | CPU | / tokio | each / tokio | late p50 | late mean | / tokio | wake-ups/s | late x wakes |")
        print("|---|---|---|---|---|---|---|---|---|---|---|")
        for contender, slack, peer in [(p, None, p) for p in peers] + [
            (ours, slack, peer) for ours, peer in pairs for slack in slacks
        ]:
            mid = lambda metric: statistics.median(values(contender, slack, row, metric))
            both = lambda metric: ratio(values(contender, slack, row, metric), values(peer, None, row, metric))
            p50 = f"{mid('late_p50'):.0f}" if "late_p50" in runs[contender, slack, row][0] else "-"
            chosen = runs[contender, slack, row][-1].get("slack", "-")
            print(
                f"| {contender} | {slack or '-'} | {chosen} | {mid(cpu):.1f} | {both(cpu):.2f} | {both(each):.2f} "
                f"| {p50} | {mid(late):.0f} | {both(late):.2f} "
                f"| {mid('switches_per_s'):.0f} | {product(contender, slack, row)} |"
            )


if __name__ == "__main__":
    main()
