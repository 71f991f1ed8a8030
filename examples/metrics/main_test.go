package main

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
)

// Every metric and label that the dashboard and the alerts ask for is one that a client's day has
// left in Prometheus.
func TestFilesNameRealMetrics(t *testing.T) {
	metrics, traced, err := measure()
	if err != nil || !traced {
		t.Fatalf("measure: %v, traced: %t", err, traced)
	}
	w := httptest.NewRecorder()
	metrics.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	labels := map[string]string{} // of all series, by name
	for _, m := range regexp.MustCompile(`(?m)^(\w+)(\{.*\})? [^ ]+$`).FindAllStringSubmatch(w.Body.String(), -1) {
		labels[m[1]] += m[2]
	}
	var queries []string
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			queries = append(queries, target.Expr)
		}
	}
	rules, err := os.ReadFile("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^ +expr: (.+)$`).FindAllStringSubmatch(string(rules), -1) {
		queries = append(queries, m[1])
	}
	if len(queries) < 10 {
		t.Errorf("%d queries only", len(queries))
	}
	metric := regexp.MustCompile(`\b(?:authos|http)_client_\w+`)
	label := regexp.MustCompile(`by \(([^)]+)\)|(\w+)(?:=~|!=|!~|=)"`)
	for _, query := range queries {
		names := metric.FindAllString(query, -1)
		if len(names) == 0 {
			t.Errorf("%s asks for no metric", query)
		}
		for _, name := range names {
			if labels[name] == "" {
				t.Errorf("%s asks for %s, which nobody emits", query, name)
			}
			for _, m := range label.FindAllStringSubmatch(query, -1) {
				for one := range strings.SplitSeq(m[1]+m[2], ",") {
					if one = strings.TrimSpace(one); !strings.Contains(labels[name], one+`="`) {
						t.Errorf("%s: %s has no label %s", query, name, one)
					}
				}
			}
		}
	}
}

type dashboard struct {
	Panels []struct {
		ID         int
		Type       string
		Title      string
		GridPos    struct{ H, W, X, Y int }
		Datasource struct{ Type, UID string }
		Targets    []struct{ Expr, RefID string }
	}
	Templating struct{ List []struct{ Name, Type string } }
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile("dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// What Grafana needs to load the file: a data source that it can choose, and panels that do not
// cover each other.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	if len(d.Templating.List) != 1 || d.Templating.List[0].Name != "datasource" || d.Templating.List[0].Type != "datasource" {
		t.Errorf("variables %+v", d.Templating.List)
	}
	taken, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range d.Panels {
		if p.Type == "" || p.Title == "" || len(p.Targets) == 0 || ids[p.ID] || p.Datasource.Type != "prometheus" || p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %+v", p)
		}
		ids[p.ID] = true
		refs := map[string]bool{}
		for _, target := range p.Targets {
			if target.Expr == "" || refs[target.RefID] {
				t.Errorf("%s: target %+v", p.Title, target)
			}
			refs[target.RefID] = true
		}
		if p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W <= 0 || p.GridPos.H <= 0 {
			t.Errorf("%s is at %+v", p.Title, p.GridPos)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if taken[at] != "" {
					t.Fatalf("%s covers %s", p.Title, taken[at])
				}
				taken[at] = p.Title
			}
		}
	}
}

func TestRun(t *testing.T) {
	if err := run(""); err != nil {
		t.Fatal(err)
	}
}
