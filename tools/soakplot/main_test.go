package main

import (
	"bytes"
	"strings"
	"testing"
)

const samples = `seconds,rss_mib,heap_mib,goroutines,connections,descriptors,calls,errors
0,10,1,2,0,7,0,0
60,11,2,9,4,12,100,3
`

func TestRender(t *testing.T) {
	var out bytes.Buffer
	if err := render([]byte(samples), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<svg", "memory (MiB)", "goroutines", "open (count)", "time (min)", "heap in use", "of them connections"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the picture does not have %q", want)
		}
	}
}

func TestRenderRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":          "",
		"no samples":       strings.SplitAfter(samples, "\n")[0],
		"no number":        strings.Replace(samples, "60,", "x,", 1),
		"a column missing": strings.ReplaceAll(samples, "goroutines", "threads"),
	} {
		if err := render([]byte(text), new(bytes.Buffer)); err == nil {
			t.Errorf("%s: drawn", name)
		}
	}
}
