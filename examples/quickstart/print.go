package main

import (
	"fmt"
	"time"

	"github.com/authos-go/authos"
)

func title(event, server string) { fmt.Printf("\n  %s\n     the server %s\n", event, server) }

// report says what a call took and what it gave.
func report(r authos.Response, result string) {
	var waited time.Duration
	for _, a := range r.History {
		waited += a.Wait
	}
	fmt.Printf("     caller got %q: attempts %d, waited %s", result, r.Attempts, waited.Round(time.Millisecond))
	if r.Refreshed {
		fmt.Print(", tokens refreshed")
	}
	if r.Stale {
		fmt.Printf(", STALE by %s", r.Age.Round(time.Millisecond))
	}
	fmt.Println()
}
