// Sim plays what happens to a server and a fleet of its clients in bad times, and prints what the
// clients did about it: this repository's real clients and the published rules of others, in
// virtual time. The same flags print the same bytes.
//
//	go run ./sim -scenario outage -clients 1000 -seed 1
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/authos-go/authos/sim/internal/fleet"
)

func main() {
	c := fleet.Config{}
	flag.StringVar(&c.Scenario, "scenario", "outage", "what happens: "+list(len(fleet.Scenarios), func(i int) (string, string) {
		return fleet.Scenarios[i].Name, fleet.Scenarios[i].About
	}))
	rules := flag.String("rules", "all", "whose clients, separated by commas, or all: "+
		list(len(fleet.Rules), func(i int) (string, string) { return fleet.Rules[i].Name, fleet.Rules[i].About }))
	flag.IntVar(&c.Clients, "clients", 1000, "how many; each is a process of its own")
	flag.Uint64Var(&c.Seed, "seed", 1, "of everything that is random")
	flag.Float64Var(&c.Rate, "rate", 0, "calls a second of each client; 0: 1, and 1000 together at most")
	flag.Float64Var(&c.Load, "load", 0, "the demand's share of the capacity; 0: 0.6")
	flag.DurationVar(&c.Trigger, "trigger", 0, "how long it lasts; 0: as the scenario says")
	flag.DurationVar(&c.Warm, "warm", 0, "how long the server is well before; 0: 1m, but 0 where the fleet starts in the trigger")
	flag.DurationVar(&c.After, "after", 0, "how long the run goes on; 0: 1m")
	timeline := flag.Bool("timeline", false, "print each second too")
	flag.Parse()
	fleet.Main(func(t *testing.T) error { return run(t, os.Stdout, c, *rules, *timeline) })
}

func list(n int, item func(int) (name, about string)) string {
	var b strings.Builder
	for i := range n {
		name, about := item(i)
		fmt.Fprintf(&b, "\n%s: %s", name, about)
	}
	return b.String()
}

// run plays the scenario with each rule, two at a time, and prints a row for each.
func run(t *testing.T, out io.Writer, c fleet.Config, names string, timeline bool) error {
	rules := strings.Split(names, ",")
	if names == "all" {
		rules = nil
		for _, r := range fleet.Rules {
			rules = append(rules, r.Name)
		}
	}
	results, errs := make([]*fleet.Result, len(rules)), make([]error, len(rules))
	var all sync.WaitGroup
	two := make(chan struct{}, 2)
	for i, rule := range rules {
		all.Go(func() {
			two <- struct{}{}
			defer func() { <-two }()
			c := c
			c.Rule = rule
			results[i], errs[i] = fleet.Run(t, c)
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	table(out, results)
	if timeline {
		for _, r := range results {
			seconds(out, r)
		}
	}
	return nil
}

func table(out io.Writer, results []*fleet.Result) {
	first := results[0]
	c := first.Config
	fmt.Fprintf(out, "%s: %s\n%d clients, %g calls/s each, load %g, %v well, %v ill, %v well again, seed %d\n\n",
		c.Scenario, first.Scenario.About, c.Clients, c.Rate, c.Load, c.Warm, c.Trigger, c.After, c.Seed)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "rule\tcalls\trequests\tin the trigger: requests/call\tworst client\t"+
		"goodput\tstale\trefused\tmost open\tp50\tp99\tafter: 95 % at\tgoodput\tp99\t")
	for _, r := range results {
		calls, requests := 0, 0
		for _, s := range r.Seconds {
			calls, requests = calls+s.Calls, requests+s.Requests
		}
		mean, worst := r.Amplification()
		in := r.Trigger()
		back := "never"
		if d, ok := r.Recovery(); ok {
			back = d.String()
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%.2f\t%.2f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", r.Config.Rule, calls, requests, mean, worst,
			percent(fleet.Goodput(in)), percent(fleet.Share(in, func(s fleet.Second) int { return s.Stale })),
			percent(fleet.Share(in, func(s fleet.Second) int { return s.Refused })), percent(r.MostOpen()),
			milli(r.Latency(1, 0.5)), milli(r.Latency(1, 0.99)), back, percent(fleet.Goodput(r.After())), milli(r.Latency(2, 0.99)))
	}
	_ = w.Flush()
}

func percent(share float64) string { return fmt.Sprintf("%.1f%%", 100*share) }

func milli(d time.Duration) string { return d.Round(time.Millisecond).String() }

func seconds(out io.Writer, r *fleet.Result) {
	fmt.Fprintf(out, "\n%s\n", r.Config.Rule)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "second\tcalls\tgood\tstale\trefused\trequests\topen\t")
	for i, s := range r.Seconds {
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", i, s.Calls, s.Good, s.Stale, s.Refused, s.Requests, s.Open)
	}
	_ = w.Flush()
}
