// Benchmarks of timers that Go's own benchmarks do not have.
//
// The counterpart of ../beyond.rs, with the same names and numbers.
package beyond

import (
	"context"
	"math/rand"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// One pending timer is moved from an hour to 2 ms, with the given number of others waiting.
func BenchmarkPulledEarlier(b *testing.B) {
	for _, c := range []struct {
		name string
		idle int
	}{{"idle=0", 0}, {"idle=1000000", 1_000_000}} {
		random := rand.New(rand.NewSource(1))
		idle := make([]*time.Timer, c.idle)
		for i := range idle {
			idle[i] = time.AfterFunc(time.Hour+time.Duration(random.Int63n(int64(time.Hour))), func() {})
		}
		b.Run(c.name, func(b *testing.B) {
			fired := make(chan time.Duration)
			var due time.Time
			timer := time.AfterFunc(time.Hour, func() { fired <- time.Since(due) })
			late := make([]time.Duration, b.N)
			for i := range late {
				due = time.Now().Add(2 * time.Millisecond)
				timer.Reset(2 * time.Millisecond)
				late[i] = <-fired
				timer.Reset(time.Hour)
			}
			timer.Stop()
			reportLate(b, late, "p50-late-ns")
		})
		for _, timer := range idle {
			timer.Stop()
		}
	}
}

// 100 000 goroutines sleep until one deadline: measures how long after it the last one is done.
func BenchmarkOneDeadline100000(b *testing.B) {
	const sleepers = 100_000
	late := make([]time.Duration, b.N)
	for i := range late {
		due := time.Now().Add(500 * time.Millisecond)
		var armed atomic.Int64
		var wg sync.WaitGroup
		wg.Add(sleepers)
		for range sleepers {
			go func() {
				armed.Add(1)
				time.Sleep(time.Until(due))
				wg.Done()
			}()
		}
		for armed.Load() < sleepers {
			time.Sleep(time.Millisecond)
		}
		if time.Now().After(due) {
			b.Fatal("the deadline came before all were asleep")
		}
		wg.Wait()
		late[i] = time.Since(due)
	}
	reportLate(b, late, "p50-late-ns")
}

// 1000 goroutines sleep 50 us again and again: measures how late each sleep ends.
func BenchmarkSleep50us1000(b *testing.B) {
	const sleepers, pause = 1000, 50 * time.Microsecond
	late := make([]time.Duration, sleepers*b.N)
	var wg sync.WaitGroup
	wg.Add(sleepers)
	for i := range sleepers {
		go func() {
			for j := range b.N {
				start := time.Now()
				time.Sleep(pause)
				late[i*b.N+j] = time.Since(start) - pause
			}
			wg.Done()
		}()
	}
	wg.Wait()
	reportLate(b, late, "p50-late-ns", "p99.9-late-ns")
}

// How much the process grows for each of 100 000 contexts that are due in an hour.
func BenchmarkLiveContexts100000(b *testing.B) {
	const live = 100_000
	makeContexts(100)
	before := resident(b)
	contexts, cancels := makeContexts(live)
	bytes := float64(resident(b)-before) / live
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(bytes, "B/context")
	for _, cancel := range cancels {
		cancel()
	}
	runtime.KeepAlive(contexts)
}

func makeContexts(n int) ([]context.Context, []context.CancelFunc) {
	root := context.Background()
	contexts, cancels := make([]context.Context, n), make([]context.CancelFunc, n)
	for i := range contexts {
		contexts[i], cancels[i] = context.WithTimeout(root, time.Hour)
	}
	return contexts, cancels
}

// Returns the memory of this process that is resident, without garbage.
func resident(b *testing.B) int {
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("needs Linux")
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kibibytes, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return kibibytes * 1024
}

func reportLate(b *testing.B, late []time.Duration, metrics ...string) {
	slices.Sort(late)
	at := map[string]float64{"p50-late-ns": 0.5, "p99.9-late-ns": 0.999}
	b.ReportMetric(0, "ns/op")
	for _, metric := range metrics {
		b.ReportMetric(float64(late[int(float64(len(late)-1)*at[metric])]), metric)
	}
}
