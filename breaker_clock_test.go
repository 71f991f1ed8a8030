package authos_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A wall clock that is set back must hold no circuit, gate or budget for the whole jump.
// Differences of times that package time has read are free of that, until a time loses its
// monotonic reading: these are the only ways to lose it, and none of them is taken where waits are
// reckoned. (The wall clock cannot be set in a test, and that of testing/synctest only goes
// forward.)
func TestWaitsAreReckonedWithoutTheWallClock(t *testing.T) {
	strips := regexp.MustCompile(`\.(Round|Truncate|UnixNano|UnixMicro|UnixMilli|Unix|UTC|Local|In|AddDate|GobEncode)\(|time\.(Date|Unix|Parse)\(`)
	found := 0
	for _, pattern := range []string{"breaker*.go", "backoff*.go"} {
		files, err := filepath.Glob(pattern)
		noError(t, "Glob", err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			source, err := os.ReadFile(file)
			noError(t, "ReadFile", err)
			found++
			if line := strips.Find(source); line != nil {
				t.Errorf("%s has %q, which takes a time's monotonic reading away", file, line)
			}
		}
	}
	if found < 8 {
		t.Errorf("%d files looked at, want those of the breaker, the retries, the gate and the budget", found)
	}
}
