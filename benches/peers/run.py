#!/usr/bin/env python3
"""Builds the contenders, runs the workloads in interleaved rounds, and writes
results/<mode>.jsonl and results/SUMMARY.md. Standard library only."""
import argparse
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib

from plan import FULL, ICOUNT, QUICK
from summary import NOISY, med, summarize

HERE = os.path.dirname(os.path.abspath(__file__))
# Where setup.sh puts it, if the one on the path is missing or too old.
OWN_GO = f"{HERE}/build/venv/bin/go"
GO = os.environ.get("GO") or (OWN_GO if os.path.exists(OWN_GO) else "go")
UNSUPPORTED = 3
ENV = dict(os.environ, RUST_BACKTRACE="0", GOTOOLCHAIN="local",
           CARGO_TARGET_DIR=f"{HERE}/target")

BUDGET = {"quick": 750, "full": 3000}
# Seconds that may go into waiting for a quiet machine and redoing measurements.
PATIENCE = {"quick": 25, "full": 200}


def log(*a):
    print(*a, file=sys.stderr, flush=True)


def build(contenders):
    t = time.time()

    def sh(cmd, cwd=HERE, **env):
        subprocess.run(cmd, cwd=cwd, check=True, env=dict(ENV, **env))

    os.makedirs(f"{HERE}/build", exist_ok=True)
    # On its own: `ours` is to be built without what the feature `tokio` adds.
    sh(["cargo", "build", "--release", "--quiet", "--workspace", "--exclude", "bench-ours-tokio"])
    sh(["cargo", "build", "--release", "--quiet", "-p", "bench-ours-tokio"])
    if "tokio_alt" in contenders:
        sh(["cargo", "build", "--release", "--quiet", "-p", "bench-tokio", "--bin", "tokio_alt"],
           RUSTFLAGS="--cfg tokio_unstable", CARGO_TARGET_DIR=f"{HERE}/target-unstable")
    if "go" in contenders:
        sh([GO, "build", "-o", f"{HERE}/build/go", "."], cwd=f"{HERE}/native/go")
    if "libuv" in contenders:
        sh(["gcc", "-O2", "-o", "build/libuv", "native/libuv/bench.c", "-luv", "-lpthread"])
    if "asio" in contenders:
        sh(["g++", "-std=c++17", "-O2", "-DASIO_STANDALONE", "-o", "build/asio",
            "native/asio/bench.cpp", "-lpthread"])
    log(f"built in {time.time() - t:.0f} s")


def jiffies():
    """(busy, steal) seconds over all CPUs."""
    f = [int(x) for x in open("/proc/stat").readline().split()[1:]]
    hz = os.sysconf("SC_CLK_TCK")
    return (f[0] + f[1] + f[2] + f[5] + f[6]) / hz, f[7] / hz


class Runner:
    def __init__(self, out, directory, contenders, deadline, patience):
        self.out, self.deadline, self.patience = out, deadline, patience
        self.directory = directory
        self.contenders = contenders
        self.cannot = set()
        self.noise, self.kept = [], []
        self.redone = 0
        self.failures = 0
        self.lock = threading.Lock()

    def write(self, recs, **extra):
        with self.lock:
            for r in recs:
                self.out.write(json.dumps({**r, **extra}) + "\n")
            self.out.flush()

    def fail(self, c, workload, args, why):
        """Notes a failure, and runs the contender no more for this workload."""
        log(f"FAILED {c['name']} {workload} {args}: {why}")
        self.failures += 1
        self.cannot.add((c["name"], workload))
        self.write([{"contender": c["name"], "workload": workload, "params": args,
                     "metric": "failed", "value": 1, "unit": "bool"}])

    def cmd(self, c, workload, args):
        return [os.path.join(HERE, c["cmd"][0]), *c["cmd"][1:], workload, *c.get("args", []),
                *args.split()]

    def can(self, c, workload, args=None):
        return not {(c["name"], workload), (c["name"], workload, args)} & self.cannot and (
            "only" not in c or workload in c["only"]) and (workload != "prim" or c["name"] == "prim")

    def once(self, c, workload, args, timeout=90):
        """Runs one process; returns (records, cores used by others). No records: it failed, or
        cannot do this."""
        (b0, s0), t0 = jiffies(), time.time()
        r0 = os.times()
        p = None
        try:
            p = subprocess.run(self.cmd(c, workload, args), capture_output=True, text=True,
                               timeout=timeout, env=ENV)
        except (OSError, subprocess.TimeoutExpired) as error:
            why = error
        wall = time.time() - t0
        (b1, s1), r1 = jiffies(), os.times()
        own = r1.children_user - r0.children_user + r1.children_system - r0.children_system
        noise = max(0.0, (b1 - b0 - own)) / wall, (s1 - s0) / wall
        if p and p.returncode == UNSUPPORTED:
            self.cannot.add((c["name"], workload, args))
            return [], noise
        if p and p.returncode != 0:
            why = f"status {p.returncode}: {p.stderr.strip()[-400:]}"
        if not p or p.returncode != 0:
            self.fail(c, workload, args, why)
            return [], noise
        if p.stderr.strip():
            log(p.stderr.strip())
        return [json.loads(l) for l in p.stdout.splitlines() if l.startswith("{")], noise

    def wait_quiet(self, most):
        """Waits while others use the CPUs, for `most` seconds of patience."""
        start = time.time()
        while True:
            (b0, s0), t0 = jiffies(), time.time()
            time.sleep(0.08)
            (b1, s1), t1 = jiffies(), time.time()
            if (b1 - b0 + s1 - s0) / (t1 - t0) <= 0.4:
                break
            if time.time() - start > min(most, self.patience):
                break
            time.sleep(0.4)
        spent = time.time() - start - 0.08
        self.patience -= max(0, spent)

    def measured(self, c, workload, args, rnd):
        if not self.can(c, workload, args):
            return
        best = None
        for attempt in range(4):
            if self.noise and sum(self.noise[-1]) > NOISY:
                self.wait_quiet(5)
            t = time.time()
            recs, noise = self.once(c, workload, args)
            took = time.time() - t
            self.noise.append(noise)
            if best is None or sum(noise) < sum(best[1]):
                best = recs, noise
            if not recs or sum(noise) < NOISY or self.patience < took:
                break
            self.patience -= took
            self.redone += 1
        recs, noise = best
        self.kept.append(noise)
        self.write(recs, round=rnd, foreign=round(noise[0], 3), steal=round(noise[1], 3))

    def rounds(self, plan, n):
        """Returns how many rounds were completed."""
        for rnd in range(1, n + 1):
            t = time.time()
            for k, (workload, args, rounds, names) in enumerate(plan):
                if rounds is not None and rnd > rounds:
                    continue
                order = [c for c in self.contenders if names is None or c["name"] in names]
                if not order:
                    continue
                s = (rnd + k) % len(order)
                nth = sum(p[:2] == (workload, args) for p in plan[:k])
                for c in order[s:] + order[:s]:
                    if time.time() > self.deadline:
                        log(f"out of time in round {rnd}")
                        return rnd - 1
                    self.measured(c, workload, args, rnd + nth / 10)
            log(f"round {rnd}/{n}: {time.time() - t:.0f} s")
        return n

    def two_at_a_time(self, jobs, work):
        """For what noise does not change."""

        def loop():
            while True:
                with self.lock:
                    if not jobs or time.time() > self.deadline:
                        return
                    job = jobs.pop(0)
                work(*job)

        ts = [threading.Thread(target=loop) for _ in range(2)]
        [t.start() for t in ts]
        [t.join() for t in ts]

    def verify(self):
        def work(c):
            recs, _ = self.once(c, "verify", "")
            ok = any(r["metric"] == "ok" for r in recs)
            log(f"verify {c['name']}: {'ok' if ok else 'NOT OK'}")
            self.write(recs, round=0)
            if not ok:
                if (c["name"], "verify") not in self.cannot:
                    self.fail(c, "verify", "", "not ok")
                self.cannot |= {(c["name"], w) for w, *_ in FULL + [("w7",), ("w9",)]}

        self.two_at_a_time([(c,) for c in self.contenders if c["kind"] != "floor"], work)

    def memory(self):
        def work(c, kind):
            recs, _ = self.once(c, "w7", f"kind={kind}")
            self.write(recs, round=1)

        self.two_at_a_time([(c, kind) for kind in ("slab", "box", "task")
                            for c in self.contenders if self.can(c, "w7")], work)

    def idle(self, rnd, ms, strace):
        """Starts everybody's 1M idle timers, one after the other, and lets the
        windows overlap: an idle process does not disturb the others."""
        running = []
        for c in self.contenders:
            if not self.can(c, "w9") or time.time() > self.deadline:
                continue
            try:
                p = subprocess.Popen(self.cmd(c, "w9", f"ms={ms}"), stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True, env=ENV)
            except OSError as error:
                self.fail(c, "w9", "", error)
                continue
            # One that hangs fails by this signal.
            watchdog = threading.Timer(90 + ms / 1000, p.kill)
            watchdog.daemon = True
            watchdog.start()
            line = p.stderr.readline()  # "#idle pid=.. helper=.."
            if not line.startswith("#idle"):
                _, rest = p.communicate()
                watchdog.cancel()
                if p.returncode == UNSUPPORTED:
                    self.cannot.add((c["name"], "w9"))
                else:
                    self.fail(c, "w9", "", f"status {p.returncode}: {(line + rest).strip()[-400:]}")
                continue
            if strace:  # not while others start up
                self.traced(c, p, rnd, ms / 1000 - 1)
                p.kill()
            running.append((c, p, watchdog))
        for c, p, watchdog in running:
            out, err = p.communicate()
            watchdog.cancel()
            if strace:
                continue
            if p.returncode != 0:
                self.fail(c, "w9", "", f"status {p.returncode}: {err.strip()[-400:]}")
                continue
            self.write([json.loads(l) for l in out.splitlines() if l.startswith("{")], round=rnd)

    def traced(self, c, traced, rnd, seconds):
        """Counts the system calls of a process that is idle."""
        path = f"{self.directory}/strace-{c['name']}.txt"
        start = time.time()
        try:
            p = subprocess.Popen(["strace", "-f", "-c", "-p", str(traced.pid), "-o", path],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        except OSError as error:
            return self.fail(c, "w9", "strace", error)
        time.sleep(seconds)
        p.send_signal(signal.SIGINT)
        _, err = p.communicate()
        seconds = time.time() - start
        text = ""
        if os.path.exists(path):
            text = open(path).read()
            os.unlink(path)
        total = re.search(r"^\s*100\.00\s.*?\s(\d+)\s+(?:\d+\s+)?total$", text, re.M)
        # It ends by our signal. Without the right to trace it has ended before, with an error.
        # Without any call there is no table.
        ended_by_us = p.returncode in (0, -signal.SIGINT, 128 + signal.SIGINT)
        if traced.poll() is not None:
            return self.fail(c, "w9", "strace", f"it ended by itself: status {traced.returncode}")
        if not ended_by_us or bool(text.strip()) != bool(total):
            return self.fail(c, "w9", "strace", f"status {p.returncode}: {err.strip()[-400:]}")
        # strace counts the helper's one interrupted sleep.
        calls = max(0, int(total[1]) - 1) if total else 0
        self.write([{"contender": c["name"], "workload": "w9", "params": "N=1000000",
                     "metric": "syscalls_per_s", "value": calls / seconds, "unit": "1/s"}],
                   round=rnd)

    def icount(self):
        for workload, args in ICOUNT:
            for c in self.contenders:
                if c["kind"] != "rust" and not c.get("icount"):
                    continue
                if not (self.can(c, workload) and self.can(c, "icount", f"{workload} {args}")):
                    continue
                if time.time() > self.deadline:
                    continue
                cmd = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--fair-sched=yes",
                       "--callgrind-out-file=/dev/null", *self.cmd(c, workload, args)]
                try:
                    p = subprocess.run(cmd, capture_output=True, text=True, env=ENV, timeout=60)
                except (OSError, subprocess.TimeoutExpired) as error:
                    self.fail(c, "icount", f"{workload} {args}", error)
                    continue
                if p.returncode == UNSUPPORTED:
                    continue
                tag = re.search(r"#icount workload=(\S+) params=(.*?) suffix=(\S*) ops=(\d+)",
                                p.stdout)
                n = re.search(r"Collected : (\d+)", p.stderr)
                if p.returncode != 0 or not tag or not n:
                    why = f"status {p.returncode}: {p.stderr.strip()[-400:]}"
                    self.fail(c, "icount", f"{workload} {args}", why)
                    continue
                self.write([{"contender": c["name"], "workload": "icount",
                             "params": f"{tag[1]} {tag[2]}{tag[3].replace('_', ' ')}",
                             "metric": "instr_per_op",
                             "value": int(n[1]) / int(tag[4]), "unit": "instr"}], round=1)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("mode", nargs="?", default="quick", choices=["quick", "full"])
    ap.add_argument("--contenders", help="comma-separated names (default: all)")
    ap.add_argument("--only", help="comma-separated workloads, e.g. w1,w4,w7,w9,icount")
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--out", default=f"{HERE}/results")
    ap.add_argument("--no-build", action="store_true")
    ap.add_argument("--summary", help="only write SUMMARY.md from this jsonl file")
    a = ap.parse_args()
    contenders = tomllib.load(open(f"{HERE}/contenders.toml", "rb"))["contender"]
    # Before anything is moved or built: a name that is misspelt would be left out in silence.
    workloads = {p[0] for p in QUICK + FULL} | {"w7", "w9", "icount"}
    for given, known in ((a.contenders, {c["name"] for c in contenders}), (a.only, workloads)):
        if given and (unknown := set(given.split(",")) - known):
            ap.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(sorted(known))}")
    if a.contenders:
        want = a.contenders.split(",")
        contenders = [c for c in contenders if c["name"] in want]
    os.makedirs(a.out, exist_ok=True)
    if a.summary:
        return summarize(a.summary, f"{a.out}/SUMMARY.md", contenders, [f"From {a.summary}."])
    if not a.no_build:
        build({c["name"] for c in contenders})
    only = set(a.only.split(",")) if a.only else None

    def wanted(w):
        return only is None or w in only

    path = f"{a.out}/{a.mode}.jsonl"
    if os.path.exists(path):
        os.makedirs(f"{a.out}/archive", exist_ok=True)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(os.path.getmtime(path)))
        shutil.move(path, f"{a.out}/archive/{a.mode}-{stamp}.jsonl")
    start = time.time()
    with open(path, "w") as out:
        r = Runner(out, a.out, contenders, start + BUDGET[a.mode], PATIENCE[a.mode])
        r.verify()
        full = a.mode == "full"
        if wanted("w9"):
            r.idle(1, 5000 if full else 3000, False)
            if full:
                r.idle(1, 2500, True)
        if wanted("w7"):
            r.memory()
        if wanted("icount") and (full or only):
            r.icount()
        log(f"memory, idle, icount: {time.time() - start:.0f} s")
        plan = [p for p in (FULL if full else QUICK) if wanted(p[0])]
        rounds = r.rounds(plan, a.rounds) if plan else 0
    foreign = [n[0] for n in r.kept] or [0]
    steal = [n[1] for n in r.kept] or [0]
    took = time.time() - start
    p95 = lambda v: sorted(v)[min(len(v) - 1, math.ceil(len(v) * 0.95) - 1)]
    cut = f", cut off in round {rounds + 1}" if plan and rounds < a.rounds else ""
    # These change what is measured, or how it was built.
    changed = [f"{name}={os.environ[name]}" for name in ("SLACK_US", "RUSTFLAGS")
               if os.environ.get(name)]
    notes = [
        f"Mode {a.mode}, {rounds} rounds{cut}, {took:.0f} s, "
        f"{time.strftime('%Y-%m-%d %H:%M')}; {os.cpu_count()} CPUs, {subprocess.getoutput('uname -r')}.",
        f"Noise: others used {med(foreign):.2f} cores (median; p95 {p95(foreign):.2f}) and steal "
        f"was {med(steal):.2f} (p95 {p95(steal):.2f}) during measurements; {r.redone} were redone "
        f"for noise, {sum(sum(n) > NOISY for n in r.kept)} of {len(r.kept)} kept ones are noisy.",
    ]
    if changed:
        notes.append(f"In the environment: {', '.join(changed)}. (SLACK_US is the slack of all "
                     "contenders of ours, in place of what their names say.)")
    summarize(path, f"{a.out}/SUMMARY.md", contenders, notes)
    log(f"done in {took:.0f} s: {path}, {a.out}/SUMMARY.md")
    if r.failures:
        sys.exit(f"{r.failures} failed, see above")


if __name__ == "__main__":
    main()
