// Plot draws the pictures of docs/resilience.md: it plays the scenarios of sim and writes docs/img.
// The same seed draws the same pictures.
//
//	go run -C sim/plot .
package main

import (
	"bytes"
	"flag"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/authos-go/authos/sim/internal/fleet"
)

// The colours of Okabe and Ito, which the colour-blind can tell apart. Lines differ in dashes too.
var (
	blue       = color.RGBA{R: 0x00, G: 0x72, B: 0xB2, A: 0xFF}
	vermillion = color.RGBA{R: 0xD5, G: 0x5E, B: 0x00, A: 0xFF}
	green      = color.RGBA{R: 0x00, G: 0x9E, B: 0x73, A: 0xFF}
	purple     = color.RGBA{R: 0xCC, G: 0x79, B: 0xA7, A: 0xFF}
	grey       = color.RGBA{R: 0x99, G: 0x99, B: 0x99, A: 0xFF}
	pale       = color.RGBA{R: 0xF0, G: 0xF0, B: 0xF0, A: 0xFF}
)

// drawn is how a rule is shown.
type drawn struct {
	rule, label string
	color       color.RGBA
	dashes      []vg.Length
	width       vg.Length
}

var (
	ours      = drawn{"authos", "this package", blue, nil, 2.6}
	usual     = drawn{"three", "three retries", vermillion, []vg.Length{7, 3}, 1.8}
	grpc      = drawn{"grpc", "gRPC A6", green, []vg.Length{2, 2}, 1.8}
	throttler = drawn{"failsafe", "adaptive throttler", purple, []vg.Length{4, 2}, 1.8}
)

func main() {
	dir := flag.String("dir", "../../docs/img", "where the pictures go")
	seed := flag.Uint64("seed", 1, "of everything that is random")
	only := flag.String("only", "", "draw only this picture")
	asPNG := flag.Bool("png", false, "write PNG beside SVG")
	flag.Parse()
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	a := &album{seed: *seed, dir: *dir, png: *asPNG}
	fleet.Main(func(t *testing.T) error {
		for _, p := range []struct {
			name string
			draw func(*testing.T, *album) error
		}{{"jam", jam}, {"outage", outage}, {"recovery", recovery}, {"metastable", metastable}} {
			if *only != "" && *only != p.name {
				continue
			}
			if err := p.draw(t, a); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
		return nil
	})
}

// album is where pictures go.
type album struct {
	seed uint64
	dir  string
	png  bool
}

// play makes all the runs, two at a time.
func play(t *testing.T, configs []fleet.Config) ([]*fleet.Result, error) {
	results, errs := make([]*fleet.Result, len(configs)), make([]error, len(configs))
	two := make(chan struct{}, 2)
	var all sync.WaitGroup
	for i, c := range configs {
		all.Go(func() {
			two <- struct{}{}
			defer func() { <-two }()
			results[i], errs[i] = fleet.Run(t, c)
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return results, nil
}

// write saves rows of panels as one picture that says how it was made.
func (a *album) write(name, title, about string, width, height vg.Length, panels [][]*plot.Plot) error {
	about = fmt.Sprintf("%s Made by: go run -C sim/plot . -only %s -seed %d", about, name, a.seed)
	var out bytes.Buffer
	if a.png {
		c := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(120))
		tile(draw.New(c), panels)
		if _, err := (vgimg.PngCanvas{Canvas: c}).WriteTo(&out); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(a.dir, name+".png"), out.Bytes(), 0o644); err != nil {
			return err
		}
		out.Reset()
	}
	c := vgsvg.NewWith(vgsvg.UseWH(width, height))
	tile(draw.New(c), panels)
	if _, err := c.WriteTo(&out); err != nil {
		return err
	}
	// A viewer without the font must not take one with serifs.
	svg := strings.ReplaceAll(out.String(), "font-family:Liberation Sans", "font-family:Liberation Sans,Arial,Helvetica,sans-serif")
	at := strings.Index(svg, "<svg")
	at += strings.Index(svg[at:], ">") + 1
	svg = svg[:at] + "\n<title>" + title + "</title>\n<desc>" + about + "</desc>" + svg[at:]
	return os.WriteFile(filepath.Join(a.dir, name+".svg"), []byte(svg), 0o644)
}

func tile(c draw.Canvas, panels [][]*plot.Plot) {
	c.SetColor(color.White)
	c.Fill(c.Path())
	tiles := draw.Tiles{Rows: len(panels), Cols: len(panels[0]), PadX: 14, PadY: 14, PadTop: 6, PadBottom: 6, PadLeft: 6, PadRight: 12}
	for i, row := range plot.Align(panels, tiles, c) {
		for j, at := range row {
			if panels[i][j] != nil {
				panels[i][j].Draw(at)
			}
		}
	}
}

// panel is an empty one, in the sizes that can be read in a talk.
func panel(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.TextStyle.Font.Size, p.Title.Padding = 13, 6
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font.Size = 12
		axis.Tick.Label.Font.Size = 11
	}
	p.Legend.TextStyle.Font.Size = 12
	p.Legend.ThumbnailWidth = 34
	p.Legend.Padding = 2
	return p
}

func seconds(d time.Duration) float64 { return d.Seconds() }
