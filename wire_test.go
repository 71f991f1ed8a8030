package authos_test

import "strings"

// rtLarge is a JSON body of 17 MiB.
func rtLarge() string { return `{"x":"` + strings.Repeat("x", 17<<20) + `"}` }
