// W10 to W13, with time.AfterFunc as in W1: on several threads, in random order, ever earlier.
// Goroutines are not kept on CPUs.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Goroutines only run on the runtime's own threads.
func fromWorkers() {
	if str("from", "workers") != "workers" {
		fmt.Fprintln(os.Stderr, "go cannot: threads that are not the runtime's")
		os.Exit(3)
	}
}

func w10() {
	fromWorkers()
	threads, n, total := num("threads", 4), num("conns", 100000), ms("ms", 300)
	lo := num("lo", 30000)
	hi := num("hi", lo)
	runtime.GOMAXPROCS(threads)
	to := func(g *rng) time.Duration {
		if lo == hi {
			return time.Duration(lo) * time.Millisecond
		}
		return g.dur(time.Duration(lo)*time.Millisecond, time.Duration(hi-lo)*time.Millisecond)
	}
	var started atomic.Int64
	var wg sync.WaitGroup
	per, ops := make([]float64, threads), make([]int, threads)
	var cpu0 time.Duration
	for k := 0; k < threads; k++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			ts := make([]*time.Timer, n/threads)
			for i := range ts {
				ts[i] = time.AfterFunc(time.Duration(lo)*time.Millisecond, onWake)
			}
			time.Sleep(100 * time.Millisecond)
			if int(started.Add(1)) == threads {
				cpu0 = cpu()
				started.Add(1)
			}
			for int(started.Load()) <= threads {
			}
			g := rng(30 + k)
			start := time.Now()
			for time.Since(start) < total {
				for j := 0; j < 16; j++ {
					for i := 0; i < batch; i++ {
						ts[g.below(uint64(len(ts)))].Reset(to(&g))
					}
					runtime.Gosched()
				}
				ops[k] += 16 * batch
			}
			per[k] = float64(time.Since(start)) / float64(ops[k])
			runtime.KeepAlive(ts)
		}()
	}
	wg.Wait()
	time.Sleep(20 * time.Millisecond)
	c := cpu() - cpu0
	wall, all := 0.0, 0
	for k := range ops {
		wall += per[k] / float64(threads)
		all += ops[k]
	}
	params := fmt.Sprintf("%d workers N=%d", threads, n)
	if lo != hi {
		params += fmt.Sprintf(" to %d..%dms", lo, hi)
	}
	emit("w10", params, "ns_per_op", wall, "ns")
	emit("w10", params, "cpu_ns_per_op", float64(c)/float64(all), "ns")
	check()
}

func dropOrder(order string, n int, g *rng) []int {
	v := make([]int, n)
	for i := range v {
		v[i] = i
	}
	switch order {
	case "random":
		for i := n - 1; i > 0; i-- {
			j := g.below(uint64(i + 1))
			v[i], v[j] = v[j], v[i]
		}
	case "reverse":
		for i := range v {
			v[i] = n - 1 - i
		}
	}
	return v
}

func w11() {
	short, win, order := uint64(num("short", 5)), ms("win", 200), str("order", "random")
	for _, n := range list("n", "1000000") {
		lead := time.Duration(n)*time.Microsecond + 200*time.Millisecond
		for !dropAll(n, short, win, lead, order) {
			if lead *= 2; lead > 20*time.Second {
				panic("cannot arm in time")
			}
		}
	}
}

func dropAll(n int, short uint64, win, lead time.Duration, order string) bool {
	g := rng(11)
	base := time.Now().Add(lead)
	isShort, shorts := make([]bool, n), int64(0)
	for i := range isShort {
		if isShort[i] = g.below(100) < short; isShort[i] {
			shorts++
		}
	}
	var fired atomic.Int64
	done := make(chan struct{})
	onShort := func() {
		if fired.Add(1) == shorts {
			close(done)
		}
	}
	ts := make([]*time.Timer, n)
	for i := range ts {
		if isShort[i] {
			ts[i] = time.AfterFunc(time.Until(base.Add(g.dur(0, win))), onShort)
		} else {
			d := g.dur(30*time.Second, 60*time.Second)
			ts[i] = time.AfterFunc(time.Until(base.Add(d)), onWake)
		}
	}
	doomed := dropOrder(order, n, &g)
	if time.Until(base) < 50*time.Millisecond {
		for _, t := range ts {
			t.Stop()
		}
		return false
	}
	time.Sleep(time.Until(base) - 10*time.Millisecond)
	if fired.Load() != 0 {
		panic("fired before the window")
	}
	for time.Until(base) > 0 {
		runtime.Gosched()
	}
	var chunks []float64
	cpu0, t, k := cpu(), time.Now(), 0
	for _, i := range doomed {
		if isShort[i] {
			continue
		}
		ts[i].Stop()
		ts[i] = nil
		if k++; k%batch == 0 {
			runtime.Gosched()
		}
		if k%4096 == 0 {
			now := time.Now()
			chunks = append(chunks, float64(now.Sub(t))/4096)
			t = now
		}
	}
	if shorts > 0 {
		<-done
	}
	time.Sleep(20 * time.Millisecond)
	c := cpu() - cpu0
	params := fmt.Sprintf("N=%d %s short=%d%%", n, order, short)
	emit("w11", params, "ns_per_op", median(chunks), "ns")
	emit("w11", params, "cpu_ns_per_op", float64(c)/float64(n), "ns")
	check()
	return true
}

func w12() {
	fromWorkers()
	live, size, total := num("live", 10000), num("batch", 1024), ms("ms", 300)
	fifo := str("order", "random") == "fifo"
	empty, full := make(chan []*time.Timer, 8), make(chan []*time.Timer, 8)
	go func() {
		g := rng(12)
		for b := range empty {
			for i := range b {
				b[i] = time.AfterFunc(timeout30(&g), onWake)
				if i%batch == batch-1 {
					runtime.Gosched()
				}
			}
			full <- b
		}
	}()
	empty <- make([]*time.Timer, live)
	kept := <-full
	for i := 0; i < 4; i++ {
		empty <- make([]*time.Timer, size)
	}
	g, next := rng(13), 0
	ops, start, cpu0 := 0, time.Now(), cpu()
	for k := 0; ; k++ {
		b := <-full
		for i := range b {
			if live > 0 {
				if fifo {
					next = (next + 1) % live
				} else {
					next = int(g.below(uint64(live)))
				}
				b[i], kept[next] = kept[next], b[i]
			}
			b[i].Stop()
			b[i] = nil
			if i%batch == batch-1 {
				runtime.Gosched()
			}
		}
		ops += len(b)
		empty <- b
		if k < 8 {
			ops, start, cpu0 = 0, time.Now(), cpu()
		} else if time.Since(start) >= total {
			break
		}
	}
	wall := time.Since(start)
	time.Sleep(20 * time.Millisecond)
	c := cpu() - cpu0
	how := "random"
	if fifo {
		how = "oldest"
	}
	params := fmt.Sprintf("workers %s of %d", how, live)
	emit("w12", params, "ns_per_op", float64(wall)/float64(ops), "ns")
	emit("w12", params, "cpu_ns_per_op", float64(c)/float64(ops), "ns")
	check()
}

func w13() {
	fromWorkers()
	total, per := ms("ms", 150), num("batch", batch)
	step := time.Duration(num("step_us", 1000)) * time.Microsecond
	for _, n := range list("n", "100000") {
		var c, wall time.Duration
		var chunks []float64
		ops, due := 0, time.Now().Add(time.Hour)
		pass := step * time.Duration(n)
		for k := 0; ops == 0 || wall < total && time.Until(due) > pass+5*time.Minute; k++ {
			ts := make([]*time.Timer, n)
			cpu0, start := cpu(), time.Now()
			t := start
			for i := range ts {
				ts[i] = time.AfterFunc(time.Until(due), onWake)
				due = due.Add(-step)
				if (i+1)%per == 0 {
					runtime.Gosched()
				}
				if k > 0 && (i+1)%1024 == 0 {
					now := time.Now()
					chunks = append(chunks, float64(now.Sub(t))/1024)
					t = now
				}
			}
			took := time.Since(start)
			time.Sleep(20 * time.Millisecond)
			if k > 0 {
				c += cpu() - cpu0
				wall += took
				ops += n
			}
			for _, t := range ts {
				t.Stop()
			}
			time.Sleep(20 * time.Millisecond)
		}
		params := fmt.Sprintf("N=%d step=%dus, %d a poll", n, step.Microseconds(), per)
		emit("w13", params, "ns_per_op", median(chunks), "ns")
		emit("w13", params, "cpu_ns_per_op", float64(c)/float64(ops), "ns")
		check()
	}
}
