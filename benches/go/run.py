"""Runs Go's timer benchmarks and ours in interleaved rounds and prints which are faster.

Both have the output of `go test -bench`, so there is one parser. Needs only the standard library."""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, "target", "go-bench")
GO = os.environ.get("GO", "go")

# The Go package of each benchmark: packages of its standard library, and ours for the others.
PACKAGES = {
    "time": "AfterFunc1000 After Stop SimultaneousAfterFunc1000 StartStop1000 Reset Sleep1000 Ticker "
            "TickerReset TickerResetNaive AdjustTimers10000 ParallelTimerLatency "
            "StaggeredTickerLatency",
    "context": "WithTimeout CommonParentCancel CancelTree CheckCanceled ContextCancelDone",
    "beyond": "PulledEarlier OneDeadline100000 Sleep50us1000 LiveContexts100000",
}
# If the load is too high, lateness grows with the number of rounds, so Go must run as many as we do.
ROUNDS = {"ParallelTimerLatency": 200, "StaggeredTickerLatency": 70, "PulledEarlier": 100,
          "OneDeadline100000": 3, "Sleep50us1000": 300, "LiveContexts100000": 1}
# Measured in a process of its own: its memory.
ALONE = {"LiveContexts100000"}
LINE = re.compile(r"Benchmark(\S+?)(?:-\d+)?\s+\d+\s+(\S.*)")
# The maximum depends on the machine, and allocations are not compared.
LEFT_OUT = {"max-late-ns", "B/op", "allocs/op"}


def jiffies():
    """Returns (busy, stolen) seconds over all CPUs."""
    f = [int(x) for x in open("/proc/stat").readline().split()[1:]]
    hz = os.sysconf("SC_CLK_TCK")
    return (f[0] + f[1] + f[2] + f[5] + f[6]) / hz, f[7] / hz


def output(cmd, foreign, **kwargs):
    """Returns the output of `cmd`, and appends to `foreign` how many cores other processes used."""
    (busy, stolen), used, start = jiffies(), os.times(), time.time()
    p = subprocess.run(cmd, stdout=subprocess.PIPE, text=True, **kwargs)
    wall, now, (busy1, stolen1) = time.time() - start, os.times(), jiffies()
    own = now.children_user - used.children_user + now.children_system - used.children_system
    foreign.append(max(0.0, busy1 - busy + stolen1 - stolen - own) / wall)
    if p.returncode != 0:
        sys.exit(f"{' '.join(cmd)} failed:\n{p.stdout}")
    return p.stdout


def parse(text):
    found = {}
    for name, rest in LINE.findall(text):
        words = rest.split()
        for value, metric in zip(words[::2], words[1::2]):
            # Go prints 0 ns/op for a benchmark with another metric, and NaN for one that was skipped.
            if metric not in LEFT_OUT and float(value) > 0:
                found[name, metric] = float(value)
    return found


def build_go():
    os.makedirs(BUILD, exist_ok=True)
    for package in PACKAGES:
        where = f"{HERE}/native" if package == "beyond" else HERE
        what = "." if package == "beyond" else package
        subprocess.run([GO, "test", "-c", "-o", f"{BUILD}/{package}.test", what], cwd=where,
                       check=True, env=dict(os.environ, GOTOOLCHAIN="local"))


def run_go(names, workers, benchtime, foreign):
    found = {}
    for package, all_names in PACKAGES.items():
        for rounds in (benchtime, *(f"{n}x" for n in sorted(set(ROUNDS.values())))):
            wanted = [n for n in all_names.split() if n in names
                      and rounds == (f"{ROUNDS[n]}x" if n in ROUNDS else benchtime)]
            if wanted:
                found |= parse(output(
                    [f"{BUILD}/{package}.test", "-test.run", "^$", "-test.cpu", str(workers),
                     "-test.benchtime", rounds, "-test.bench", f"^Benchmark({'|'.join(wanted)})$"],
                    foreign, cwd=BUILD))
    return found


def build_ours():
    """Returns the program."""
    p = subprocess.run(["cargo", "bench", "--quiet", "--features", "rt", "--bench", "go", "--no-run",
                        "--message-format", "json"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    built = [json.loads(line) for line in p.stdout.splitlines()]
    return next(b["executable"] for b in built if b.get("executable"))


def run_ours(program, names, workers, foreign):
    found = {}
    together = [name for name in names if name not in ALONE]
    for wanted in (together, *([name] for name in names if name in ALONE)):
        if wanted:
            found |= parse(output([program, "--workers", str(workers), *wanted], foreign))
    return found


def ways(key, rounds):
    """Returns the keys of our figures for one of Go's: ours have an `@` and the way after the name."""
    name, metric = key
    found = (k for _, ours in rounds for k in ours)
    return list(dict.fromkeys(k for k in found if (k[0].split("@")[0], k[1]) == (name, metric)))


def human(nanos, metric="ns"):
    if metric.startswith("B/"):
        return f"{nanos:.0f} B"
    for unit, scale in (("ms", 1e6), ("us", 1e3)):
        if nanos >= scale:
            return f"{nanos / scale:.3g} {unit}"
    return f"{nanos:.3g} ns"


def table(workers, rounds):
    """Medians of the rounds; the ratio is that of each round, of which the median is taken."""
    print(f"\n| {workers} worker{'s'[:workers - 1]} | Go | ours | ours / Go | |\n|---|---|---|---|---|")
    lost = []
    for key in dict.fromkeys(k for go, _ in rounds for k in go):
        theirs = human(statistics.median(g[key] for g, _ in rounds if key in g), key[1])
        for way in ways(key, rounds) or [key]:
            label = way[0].replace("@", ", ")
            if key[1] not in ("ns/op", "B/context"):
                label = f"{label} {key[1].removesuffix('-ns')}"
            both = [(go[key], ours[way]) for go, ours in rounds if key in go and way in ours]
            if not both:
                print(f"| {label} | {theirs} | - | - | |")
                continue
            ratio = statistics.median(ours / go for go, ours in both)
            if ratio > 1:
                lost.append(label)
            mine = human(statistics.median(ours for _, ours in both), key[1])
            print(f"| {label} | {theirs} | {mine} | {ratio:.2f} | {'lost' if ratio > 1 else ''} |")
    print(f"\nLost with {workers}: {', '.join(lost) or 'none'}")


def main():
    every = " ".join(PACKAGES.values()).split()
    ap = argparse.ArgumentParser()
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--workers", default="2,1", help="GOMAXPROCS and our worker threads")
    ap.add_argument("--only", default=",".join(every), help="comma-separated names")
    ap.add_argument("--time", default="200ms", help="how long Go runs each whose rounds are not fixed")
    a = ap.parse_args()
    names = a.only.split(",")
    if set(names) - set(every):
        sys.exit(f"unknown: {set(names) - set(every)}; known: {every}")
    build_go()
    program = build_ours()
    counts = [int(w) for w in a.workers.split(",")]
    results, foreign = {w: [] for w in counts}, []
    for rnd in range(a.rounds):
        for workers in counts:
            go = lambda: run_go(names, workers, a.time, foreign)
            ours = lambda: run_ours(program, names, workers, foreign)
            if rnd % 2:
                theirs, mine = go(), ours()
            else:
                mine, theirs = ours(), go()
            results[workers].append((theirs, mine))
        print(f"round {rnd + 1} of {a.rounds}", file=sys.stderr)
    print(f"{subprocess.getoutput(f'{GO} version')}; {os.cpu_count()} CPUs; medians over {a.rounds} "
          f"round(s); others used {statistics.median(foreign):.2f} cores, {max(foreign):.2f} at most.")
    for workers in counts:
        table(workers, results[workers])


if __name__ == "__main__":
    main()
