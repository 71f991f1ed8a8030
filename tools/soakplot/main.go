// Command soakplot draws what internal/cmd/soak has sampled.
//
//	go run -C tools ./soakplot soak.csv ../docs/img/soak.svg
package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"
	"os"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// panels are drawn below each other. The colors are of Okabe and Ito's palette, which the
// color-blind can tell apart.
var panels = []struct {
	label  string
	series []series
}{
	{"memory (MiB)", []series{
		{"rss_mib", "resident", color.RGBA{0x00, 0x72, 0xB2, 0xFF}},
		{"heap_mib", "heap in use", color.RGBA{0xD5, 0x5E, 0x00, 0xFF}},
	}},
	{"goroutines", []series{{"goroutines", "", color.RGBA{0x00, 0x9E, 0x73, 0xFF}}}},
	{"open (count)", []series{
		{"descriptors", "file descriptors", color.RGBA{0xCC, 0x79, 0xA7, 0xFF}},
		{"connections", "of them connections", color.RGBA{0xE6, 0x9F, 0x00, 0xFF}},
	}},
}

type series struct {
	column, name string
	color        color.Color
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "soakplot:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: soakplot SAMPLES.csv PICTURE.svg")
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := render(text, &out); err != nil {
		return err
	}
	return os.WriteFile(args[1], out.Bytes(), 0o644)
}

func render(samples []byte, w io.Writer) error {
	columns, err := read(samples)
	if err != nil {
		return err
	}
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	plots := make([][]*plot.Plot, 0, len(panels))
	for i, panel := range panels {
		p := plot.New()
		p.Y.Label.Text = panel.label
		if i == len(panels)-1 {
			p.X.Label.Text = "time (min)"
		}
		p.Legend.Top, p.Legend.Left = true, true // text that is wider than measured runs into nothing
		p.Add(plotter.NewGrid())
		for _, s := range panel.series {
			points, err := points(columns, s.column)
			if err != nil {
				return err
			}
			line, err := plotter.NewLine(points)
			if err != nil {
				return err
			}
			line.Color, line.Width = s.color, vg.Points(1.2)
			p.Add(line)
			if s.name != "" {
				p.Legend.Add(s.name, line)
			}
			p.Y.Max = max(p.Y.Max, 1.4*maximum(points)) // room for the legend
			p.X.Max = points[len(points)-1].X
		}
		p.X.Min, p.Y.Min = 0, 0
		p.X.Tick.Marker, p.Y.Tick.Marker = plot.TickerFunc(ticks), plot.TickerFunc(ticks)
		plots = append(plots, []*plot.Plot{p})
	}
	c := vgsvg.New(18*vg.Centimeter, 16*vg.Centimeter)
	tiles := draw.Tiles{Rows: len(plots), Cols: 1, PadY: vg.Millimeter, PadRight: 3 * vg.Millimeter, PadTop: vg.Millimeter}
	for i, row := range plot.Align(plots, tiles, draw.New(c)) {
		plots[i][0].Draw(row[0])
	}
	_, err = c.WriteTo(w)
	return err
}

// read returns the columns by name.
func read(samples []byte) (map[string][]float64, error) {
	rows, err := csv.NewReader(bytes.NewReader(samples)).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) < 2 {
		return nil, errors.New("no samples")
	}
	columns := map[string][]float64{}
	for i, name := range rows[0] {
		for _, row := range rows[1:] {
			v, err := strconv.ParseFloat(row[i], 64)
			if err != nil {
				return nil, err
			}
			columns[name] = append(columns[name], v)
		}
	}
	return columns, nil
}

func points(columns map[string][]float64, column string) (plotter.XYs, error) {
	if len(columns["seconds"]) == 0 || len(columns[column]) == 0 {
		return nil, fmt.Errorf("no column %q over seconds", column)
	}
	out := make(plotter.XYs, len(columns[column]))
	for i, v := range columns[column] {
		out[i] = plotter.XY{X: columns["seconds"][i] / 60, Y: v}
	}
	return out, nil
}

// ticks are round numbers, four to ten of them.
func ticks(low, high float64) []plot.Tick {
	step := math.Pow(10, math.Floor(math.Log10((high-low)/4)))
	for _, m := range []float64{5, 2} {
		if (high-low)/(m*step) >= 4 {
			step *= m
			break
		}
	}
	var out []plot.Tick
	for v := math.Ceil(low/step) * step; v <= high; v += step {
		out = append(out, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 4, 64)})
	}
	return out
}

func maximum(points plotter.XYs) float64 {
	top := 0.0
	for _, p := range points {
		top = max(top, p.Y)
	}
	return top
}
