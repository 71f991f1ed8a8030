package main

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"

	"github.com/authos-go/authos/sim/internal/fleet"
)

func jam(t *testing.T, a *album) error {
	return timeline(t, a, "jam", "A server that keeps a tenth of its capacity for 60 s", []drawn{usual, throttler, grpc, ours})
}

func outage(t *testing.T, a *album) error {
	return timeline(t, a, "outage", "Total outage of 60 s", []drawn{usual, throttler, grpc, ours})
}

// timeline draws goodput above requests a call, over time.
func timeline(t *testing.T, a *album, scenario, title string, shown []drawn) error {
	const before = 20 // seconds
	configs := make([]fleet.Config, 0, len(shown))
	for _, d := range shown {
		configs = append(configs, fleet.Config{Scenario: scenario, Rule: d.rule, Clients: 1000, Seed: a.seed})
	}
	results, err := play(t, configs)
	if err != nil {
		return err
	}
	top := panel(title+", 1,000 clients", "", "goodput, % of calls")
	bottom := panel("", "seconds since the trouble began; it lasts as long as the shade", "requests a call")
	c := results[0].Config
	end := seconds(c.Trigger)
	for _, p := range []*plot.Plot{top, bottom} {
		p.X.Min, p.X.Max = -before, end+seconds(c.After)
		p.X.Tick.Marker = every(20)
	}
	top.Y.Min, top.Y.Max, top.Y.Tick.Marker = 0, 104, every(25)
	bottom.Y.Min, bottom.Y.Max, bottom.Y.Tick.Marker = 0, 4.3, every(1)
	shade(top, 0, end, 104)
	shade(bottom, 0, end, 4.3)
	for i, d := range shown {
		var good, sent plotter.XYs
		all := results[i].Seconds
		for at := range all {
			x := float64(at) - seconds(c.Warm) + 0.5
			if x < -before {
				continue
			}
			// three seconds at a time: a second has only so many calls
			part := all[max(at-1, 0):min(at+2, len(all))]
			good = append(good, plotter.XY{X: x, Y: 100 * fleet.Goodput(part)})
			sent = append(sent, plotter.XY{X: x, Y: fleet.Share(part, func(s fleet.Second) int { return s.Requests })})
		}
		upper, lower := line(good, d), line(sent, d)
		top.Add(upper)
		bottom.Add(lower)
		bottom.Legend.Add(d.label, lower)
	}
	// Names stand right of their lines, where there is room for a wider font than the one measured.
	bottom.Legend.Top, bottom.Legend.Left, bottom.Legend.XOffs, bottom.Legend.YOffs = true, true, 415, -42
	about := fmt.Sprintf("Goodput and requests a call of 1,000 clients, one call a second each, at 60 %% of the capacity; "+
		"the trigger is shaded, moving mean of 3 s, seed %d.", a.seed)
	return a.write(scenario, title, about, 640, 470, [][]*plot.Plot{{top}, {bottom}})
}

func line(xys plotter.XYs, d drawn) *plotter.Line {
	l := &plotter.Line{XYs: xys, LineStyle: draw.LineStyle{Color: d.color, Width: d.width, Dashes: d.dashes}}
	return l
}

// shade marks the trigger.
func shade(p *plot.Plot, from, to, height float64) {
	box := &plotter.Polygon{XYs: []plotter.XYs{{{X: from}, {X: to}, {X: to, Y: height}, {X: from, Y: height}}}, Color: pale}
	p.Add(box)
}

// every puts a tick at each multiple of a step.
type every float64

// Ticks implements [plot.Ticker].
func (e every) Ticks(least, most float64) []plot.Tick {
	var ticks []plot.Tick
	for at := math.Ceil(least/float64(e)) * float64(e); at <= most; at += float64(e) {
		ticks = append(ticks, plot.Tick{Value: at, Label: strconv.FormatFloat(at, 'f', -1, 64)})
	}
	return ticks
}

// named are ticks with labels of their own.
type named []plot.Tick

// Ticks implements [plot.Ticker].
func (n named) Ticks(_, _ float64) []plot.Tick { return n }

const never = 75.0 // where what does not recover within the run is drawn

// recovery draws when goodput is back, against the size of the fleet: the median of several seeds,
// and from the best to the worst of them.
func recovery(t *testing.T, a *album) error {
	sizes, scenarios := []int{10, 100, 1000, 10_000}, []string{"jam", "outage"}
	shown := []drawn{usual, grpc, ours}
	var configs []fleet.Config
	for _, s := range scenarios {
		for _, d := range shown {
			for _, n := range sizes {
				for seed := range seedsOf(n) {
					configs = append(configs, fleet.Config{Scenario: s, Rule: d.rule, Clients: n, Seed: a.seed + seed})
				}
			}
		}
	}
	results, err := play(t, configs)
	if err != nil {
		return err
	}
	var row []*plot.Plot
	for _, s := range scenarios {
		title := map[string]string{"jam": "A tenth of the capacity for 60 s", "outage": "Total outage of 60 s"}[s]
		p := panel(title, "clients", "seconds until goodput is back at 95 %")
		p.X.Scale, p.X.Min, p.X.Max = plot.LogScale{}, 7, 15_000
		p.X.Tick.Marker = named{
			{Value: 10, Label: "10"}, {Value: 100, Label: "100"}, {Value: 1000, Label: "1,000"}, {Value: 10_000, Label: "10,000"},
		}
		p.Y.Min, p.Y.Max = -2, never+5
		p.Y.Tick.Marker = named{
			{Value: 0, Label: "0"}, {Value: 15, Label: "15"}, {Value: 30, Label: "30"}, {Value: 45, Label: "45"}, {Value: 60, Label: "60"},
			{Value: never, Label: "never"},
		}
		bar := &plotter.Line{XYs: plotter.XYs{{X: 7, Y: 30}, {X: 15_000, Y: 30}}, LineStyle: draw.LineStyle{Color: grey, Width: 1}}
		p.Add(bar)
		for k, d := range shown {
			var middle plotter.XYs
			shift := 1 + 0.08*(float64(k)-1) // so that bars do not cover each other
			for _, n := range sizes {
				var took []float64
				for range seedsOf(n) {
					took = append(took, backAfter(results[0]))
					results = results[1:]
				}
				slices.Sort(took)
				x := float64(n) * shift
				middle = append(middle, plotter.XY{X: x, Y: took[len(took)/2]})
				span := &plotter.Line{
					XYs:       plotter.XYs{{X: x, Y: took[0]}, {X: x, Y: took[len(took)-1]}},
					LineStyle: draw.LineStyle{Color: d.color, Width: 1.5},
				}
				p.Add(span)
			}
			l := line(middle, d)
			dots := &plotter.Scatter{XYs: middle, GlyphStyle: draw.GlyphStyle{Color: d.color, Radius: 3.2, Shape: draw.CircleGlyph{}}}
			p.Add(l, dots)
			if s == scenarios[0] {
				p.Legend.Add(d.label, l, dots)
			}
		}
		p.Legend.Top, p.Legend.Left, p.Legend.XOffs, p.Legend.YOffs = true, true, 14, -34
		row = append(row, p)
	}
	about := fmt.Sprintf("How long after the trigger goodput is back at 95 %% for good: median, best and worst of seeds %d to %d "+
		"(from 1,000 clients on: %[1]d alone); never: not within 60 s. The grey line is the bar of 30 s.",
		a.seed, a.seed+seedsOf(10)-1)
	return a.write("recovery", "Recovery time against the size of the fleet", about, 860, 380, [][]*plot.Plot{row})
}

// seedsOf is how often a fleet is played: the larger, the less chance decides.
func seedsOf(clients int) uint64 {
	if clients < 1000 {
		return 3
	}
	return 1
}

func backAfter(r *fleet.Result) float64 {
	if d, ok := r.Recovery(); ok {
		return seconds(d)
	}
	return never
}

// metastable draws for which lengths of the trigger and loads the system does not recover.
func metastable(t *testing.T, a *album) error {
	lengths := []time.Duration{2, 5, 10, 20, 40, 60}
	loads := []float64{0.4, 0.5, 0.6, 0.7, 0.8, 0.9}
	shown := []drawn{ours, grpc, usual}
	after := 2 * time.Minute
	configs := make([]fleet.Config, 0, len(shown)*len(lengths)*len(loads))
	for _, d := range shown {
		for _, length := range lengths {
			for _, load := range loads {
				configs = append(configs, fleet.Config{
					Scenario: "jam", Rule: d.rule, Clients: 50, Seed: a.seed, Load: load, Warm: 30 * time.Second,
					Trigger: length * time.Second, //nolint:durationcheck // length counts seconds
					After:   after,
				})
			}
		}
	}
	results, err := play(t, configs)
	if err != nil {
		return err
	}
	steps := []struct {
		most  float64
		label string
		color color.RGBA
	}{
		{30, "within 30 s", color.RGBA{R: 0xDE, G: 0xEB, B: 0xF7, A: 0xFF}},
		{60, "within 60 s", color.RGBA{R: 0x7F, G: 0xB5, B: 0xD9, A: 0xFF}},
		{120, "within 120 s", color.RGBA{R: 0x21, G: 0x66, B: 0x9C, A: 0xFF}},
		{math.Inf(1), "not within 120 s", vermillion},
	}
	var row []*plot.Plot
	for i, d := range shown {
		label := ""
		if i == 0 {
			label = "trigger, seconds"
		}
		p := panel(d.label, "load, % of capacity", label)
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = -0.5, float64(len(loads))-0.5, -0.5, float64(len(lengths))-0.5
		var x, y named
		for k, load := range loads {
			x = append(x, plot.Tick{Value: float64(k), Label: strconv.Itoa(int(math.Round(100 * load)))})
		}
		for k, length := range lengths {
			y = append(y, plot.Tick{Value: float64(k), Label: strconv.Itoa(int(length))})
		}
		p.X.Tick.Marker, p.Y.Tick.Marker = x, y
		for ky := range lengths {
			for kx := range loads {
				took := math.Inf(1)
				if back, ok := results[0].Recovery(); ok {
					took = seconds(back)
				}
				results = results[1:]
				step := slices.IndexFunc(steps, func(s struct {
					most  float64
					label string
					color color.RGBA
				},
				) bool {
					return took <= s.most
				})
				p.Add(cell(float64(kx), float64(ky), steps[step].color))
			}
		}
		row = append(row, p)
	}
	legend := panel("goodput back at 95 %", "", "")
	legend.HideAxes()
	legend.X.Min, legend.X.Max, legend.Y.Min, legend.Y.Max = 0, 1, 0, 1
	for _, s := range steps {
		legend.Legend.Add(s.label, cell(0, 0, s.color))
	}
	legend.Legend.Top, legend.Legend.Left = true, true
	legend.Legend.ThumbnailWidth = 16
	about := fmt.Sprintf("A server that queues keeps a tenth of its capacity for a while; 50 clients, one call a second each. "+
		"Whether and when goodput is back at 95 %%, seed %d.", a.seed)
	return a.write("metastable", "Where the system does not recover", about, 880, 300, [][]*plot.Plot{append(row, legend)})
}

func cell(x, y float64, c color.RGBA) *plotter.Polygon {
	const half = 0.48
	corners := plotter.XYs{{X: x - half, Y: y - half}, {X: x + half, Y: y - half}, {X: x + half, Y: y + half}, {X: x - half, Y: y + half}}
	return &plotter.Polygon{XYs: []plotter.XYs{corners}, Color: c}
}
