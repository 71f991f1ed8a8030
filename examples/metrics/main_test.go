package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// Every metric that the dashboard and the alerts ask for is one that authosotel documents.
func TestFilesNameRealMetrics(t *testing.T) {
	doc, err := os.ReadFile("../../authosotel/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^//\t((?:authos|http)\.client\.[a-z.]+)`).FindAllStringSubmatch(string(doc), -1) {
		documented[strings.ReplaceAll(m[1], ".", "_")] = true
	}
	suffix := regexp.MustCompile(`_(seconds|total|bucket|sum|count)`)
	for _, name := range []string{"dashboard.json", "alerts.yml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if name == "dashboard.json" && !json.Valid(text) {
			t.Error("dashboard.json is not JSON")
		}
		asked := regexp.MustCompile(`\b(?:authos|http)_client_[a-z_]+`).FindAllString(string(text), -1)
		if len(asked) < 5 {
			t.Errorf("%s asks for %d metrics only", name, len(asked))
		}
		for _, metric := range asked {
			if !documented[suffix.ReplaceAllString(metric, "")] {
				t.Errorf("%s asks for %s", name, metric)
			}
		}
	}
}

func TestRun(t *testing.T) {
	if err := run(""); err != nil {
		t.Fatal(err)
	}
}
