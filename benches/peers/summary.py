"""Writes SUMMARY.md from the lines that the contenders printed."""
import json
import re
from collections import defaultdict

NOISY = 0.25  # cores used by others (or stolen) that make a measurement noisy

# (workload, metric, label, whether a ratio to the best makes sense)
ROWS = [
    ("w1", r"^ns_per_op$", "wall ns/op", True),
    ("w1", r"^min_ns_per_op$", "best 10 ms chunk, ns/op", True),
    ("w1", r"^cpu_ns_per_op$", "CPU ns/op, all threads", True),
    ("w1", r"^ns_per_op_reuse$", "start + stop of a kept uv_timer_t, ns/op", True),
    ("w1", r"^ns_per_op_lazychan$", "NewTimer + Stop (never in a heap), ns/op", True),
    ("w2", r"^ns_per_op_ready1$", "ready on 1st poll, wall ns/op", True),
    ("w2", r"^cpu_ns_per_op_ready1$", "ready on 1st poll, CPU ns/op", True),
    ("w2", r"^ns_per_op_ready2$", "ready on 2nd poll, wall ns/op", True),
    ("w2", r"^cpu_ns_per_op_ready2$", "ready on 2nd poll, CPU ns/op", True),
    ("w2", r"^ns_per_op_yield$", "around yield_now (executor), wall ns/op", True),
    ("w2", r"^ns_per_op_yield_base$", "yield_now without timeout, wall ns/op", False),
    ("w3", r"^ns_per_op$", "reset+poll, wall ns/op", True),
    ("w3", r"^ns_per_op_nopoll$", "reset only, wall ns/op", True),
    ("w3", r"^cpu_ns_per_op$", "reset+poll, CPU ns/op", True),
    ("w4", r"^cpu_ns_per_fire$", "CPU ns/fire", True),
    ("w4", r"^overrun$", "last wake - window end, us", False),
    ("w5", r"^ns_per_op$", "wall ns/op on each thread", True),
    ("w5", r"^cpu_ns_per_op$", "CPU ns/op", True),
    ("w6", r"^late_p50$", "lateness p50, us", True),
    ("w6", r"^late_p99$", "lateness p99, us", True),
    ("w6", r"^late_p999$", "lateness p99.9, us", True),
    ("w6", r"^late_max$", "lateness max, us", True),
    ("w6", r"^cpu_us_per_sleep$", "CPU us/sleep", True),
    ("w6m", r"^late_p50$", "lateness p50, us", True),
    ("w6m", r"^late_p99$", "lateness p99, us", True),
    ("w6m", r"^late_p999$", "lateness p99.9, us", True),
    ("w6m", r"^late_max$", "lateness max, us", True),
    ("w6m", r"^cpu_percent$", "CPU %", True),
    ("w6m", r"^cpu_ns_per_sleep$", "CPU ns/sleep", True),
    ("w6m", r"^switches_per_s$", "context switches/s", False),
    ("w6m", r"^early$", "fired early, count", False),
    ("w7", r"^rss_per_timer_slab$", "timers in a Vec", True),
    ("w7", r"^rss_per_timer_box$", "Vec of boxes", True),
    ("w7", r"^rss_per_timer_task$", "one task / goroutine each", True),
    ("w7", r"^size_of_timer$", "size_of", True),
    ("w8", r"^cpu_percent$", "CPU %", True),
    ("w8", r"^cpu_ns_per_tick$", "CPU ns/tick", True),
    ("w8", r"^switches_per_s$", "context switches/s", False),
    ("w8", r"^late_mean$", "lateness mean, us", True),
    ("w8", r"^late_p99$", "lateness p99, us", True),
    ("w8", r"^ticks_percent$", "ticks delivered, %", False),
    ("w8", r"^drift$", "drift, last against first quarter, us", False),
    ("w9", r"^cpu_us_per_s$", "CPU us/s", False),
    ("w9", r"^switches_per_s$", "context switches/s", False),
    ("w9", r"^syscalls_per_s$", "system calls/s (strace)", False),
    ("w10", r"^cpu_ns_per_op$", "CPU ns/op", True),
    ("w10", r"^ns_per_op$", "wall ns/op on each thread", True),
    ("w11", r"^cpu_ns_per_op$", "CPU ns/timer", True),
    ("w11", r"^ns_per_op$", "wall ns/drop, fires between them included", True),
    ("w12", r"^cpu_ns_per_op$", "CPU ns/op, both threads", True),
    ("w12", r"^ns_per_op$", "wall ns/op", True),
    ("w13", r"^cpu_ns_per_op$", "CPU ns/op", True),
    ("w13", r"^ns_per_op$", "wall ns/op", True),
    ("w14", r"^cpu_percent$", "CPU %", True),
    ("w14", r"^tick_late_p50$", "tickers, lateness p50, us", True),
    ("w14", r"^tick_late_p99$", "tickers, lateness p99, us", True),
    ("w14", r"^tick_late_p999$", "tickers, lateness p99.9, us", True),
    ("w14", r"^timeout_late_p50$", "connections timed out, lateness p50, us", True),
    ("w14", r"^timeout_late_p99$", "connections timed out, lateness p99, us", True),
    ("w14", r"^timeout_late_p999$", "connections timed out, lateness p99.9, us", True),
    ("w14", r"^deadline_late_p50$", "requests' deadlines, lateness p50, us", True),
    ("w14", r"^deadline_late_p99$", "requests' deadlines, lateness p99, us", True),
    ("w14", r"^deadline_late_p999$", "requests' deadlines, lateness p99.9, us", True),
    ("w14", r"^wakeups_per_s$", "wake-ups/s (voluntary context switches)", True),
    ("w14", r"^peak_rss$", "peak RSS, MB", True),
    ("w14", r"^ticks_per_s$", "ticks/s", False),
    ("w14", r"^put_offs_per_s$", "connections put off/s", False),
    ("w14", r"^timed_out$", "connections timed out", False),
    ("w14", r"^answered_per_s$", "requests answered/s", False),
    ("w14", r"^deadlines_per_s$", "requests' deadlines passed/s", False),
    ("w14", r"^clients_behind$", "clients behind their plan at most, ms", False),
    ("icount", r".*", "instructions/op", True),
]
TITLES = {
    "w1": "W1 arm + cancel (30 s timer, R armed)",
    "w2": "W2 timeout around a future (R=1000)",
    "w3": "W3 reset",
    "w4": "W4 fire",
    "w5": "W5 arm + cancel on two threads",
    "w6": "W6 lateness, one task",
    "w6m": "W6 lateness, 1000 tasks",
    "w7": "W7 memory per armed timer (bytes)",
    "w8": "W8 1000 tickers of 10 ms",
    "w9": "W9 idle, 1M armed",
    "w10": "W10 connections put off from several threads",
    "w11": "W11 dropped in random order",
    "w12": "W12 armed on one thread, dropped on another",
    "w13": "W13 ever earlier, an hour off",
    "w14": "W14 a day in the life of a server",
    "icount": "Instructions per operation (callgrind)",
}


def med(v):
    v = sorted(v)
    n = len(v)
    return v[n // 2] if n % 2 else (v[n // 2 - 1] + v[n // 2]) / 2


def fmt(x):
    if x != x:
        return "-"
    a = abs(x)
    if a >= 100:
        return f"{x:.0f}"
    if a >= 10:
        return f"{x:.1f}"
    return f"{x:.2f}".rstrip("0").rstrip(".") if a else "0"


def summarize(path, out, contenders, notes):
    recs = [json.loads(l) for l in open(path)]
    # Noisy rounds of a cell are dropped where at least three quiet ones remain. In
    # W5 they are worse than useless (two threads on one CPU do not contend): one is enough.
    quiet = defaultdict(set)
    for r in recs:
        if r.get("foreign", 0) + r.get("steal", 0) <= NOISY:
            quiet[r["contender"], r["workload"], r["params"], r["metric"]].add(r.get("round"))
    recs = [r for r in recs
            if len(q := quiet[r["contender"], r["workload"], r["params"], r["metric"]])
            < (1 if r["workload"] == "w5" else 3)
            or r.get("round") in q]
    data = defaultdict(lambda: defaultdict(dict))  # (w, params, metric) -> c -> round -> value
    failed = set()
    for r in recs:
        if r["metric"] == "failed":
            failed.add(f"{r['contender']} {r['workload']} {r['params']}")
            continue
        data[r["workload"], r["params"], r["metric"]][r["contender"]][r.get("round", 1)] = r["value"]
    names = [c["name"] for c in contenders if c["kind"] != "floor"]
    peers = [n for n in names if not n.startswith("ours")]
    floors = [c["name"] for c in contenders if c["kind"] == "floor" and c["name"] != "prim"]
    lines = ["# Peer timers: measured medians", ""]
    lines += notes + [""]
    if failed:
        lines += ["**Failed:** " + "; ".join(sorted(failed)), ""]
    lines += [
        "Cells: median over rounds, then the ratio to the best contender of that row (median",
        "of the per-round ratios, so that common noise cancels; where fewer than three rounds",
        "are common to both, the ratio of the medians). Noisy rounds are left out where three",
        "quiet ones remain. W7 and W9 are measured once. Lower is better unless it says otherwise. `floor` /",
        "`raw_*` are not contenders: a timer that stores deadline and waker and never fires,",
        "and bare system calls with a sorted array or heap; their column shows the cheapest",
        "of them. On tokio: `ours_tokio_ct` / `tokio_ct` and `ours_tokio_mt` / `tokio_mt`, ratios",
        "of the same kind. min..max over rounds: second half.", "",
    ]
    detail = ["", "# Ranges: median (min..max) over rounds", ""]

    def natural(key):
        return [int(x) if x.isdigit() else x for x in re.split(r"(\d+)", key[1])]

    for w in TITLES:
        keys = []
        for rw, pat, label, ratio in ROWS:
            if rw != w:
                continue
            ks = [k for k in data if k[0] == w and re.match(pat, k[2])]
            keys += [(k, label, ratio) for k in sorted(ks, key=natural)]
        if not keys:
            continue
        cols = [n for n in names if any(n in data[k] for k, *_ in keys)]
        head = f"| {TITLES[w]} | " + " | ".join(cols) + " | floor | ours / best peer | on tokio ct, mt |"
        lines += [head, "|---" * (len(cols) + 4) + "|"]
        fl = [n for n in floors if any(n in data[k] for k, *_ in keys)]
        detail += [f"| {TITLES[w]} | " + " | ".join(cols + fl) + " |",
                   "|---" * (len(cols) + len(fl) + 1) + "|"]
        for k, label, ratio in keys:
            d = data[k]
            meds = {n: med(list(d[n].values())) for n in cols if n in d}
            if not meds:
                continue
            best = min(meds, key=lambda n: meds[n])
            cells = []

            def over(n, base):
                common = [i for i in d[n] if i in d[base] and d[base][i] > 0]
                return (med([d[n][i] / d[base][i] for i in common]) if len(common) >= 3
                        else meds[n] / meds[base])

            for n in cols:
                if n not in meds:
                    cells.append("-")
                    continue
                s = fmt(meds[n])
                if ratio and len(meds) > 1 and meds[best] > 0:
                    s = f"**{s}**" if n == best else f"{s} ({over(n, best):.1f}x)"
                cells.append(s)
            rivals = [n for n in peers if meds.get(n, 0) > 0]
            peer = min(rivals, key=lambda n: meds[n], default=None)
            cells_end = (f"{over('ours', peer):.2f} {peer}"
                         if ratio and peer and "ours" in meds else "-")
            f = {n: med(list(d[n].values())) for n in fl if n in d}
            fcell = "-"
            if f:
                b = min(f, key=lambda n: f[n])
                fcell = fmt(f[b]) + ("" if b == "floor" else f" {b[4:]}")
            same = [f"{over('ours_' + n, n):.2f}" if meds.get(n, 0) > 0 and "ours_" + n in meds
                    else "-" for n in ("tokio_ct", "tokio_mt")]
            on_tokio = ", ".join(same) if ratio else "-"
            lines.append(f"| {k[1]}: {label} | " + " | ".join(cells)
                         + f" | {fcell} | {cells_end} | {on_tokio} |")
            cells = []
            for n in cols + fl:
                v = list(d[n].values()) if n in d else []
                cells.append(f"{fmt(med(v))} ({fmt(min(v))}..{fmt(max(v))})" if v else "-")
            detail.append(f"| {k[1]}: {label} | " + " | ".join(cells) + " |")
        lines.append("")
        detail.append("")
    prim = [(k[2], list(v["prim"].values())) for k, v in data.items() if k[0] == "prim"]
    if prim:
        lines += ["| Building block on this machine | ns, median (min..max) |", "|---|---|"]
        lines += [f"| {m} | {fmt(med(v))} ({fmt(min(v))}..{fmt(max(v))}) |" for m, v in prim] + [""]
    open(out, "w").write("\n".join(lines + detail) + "\n")
