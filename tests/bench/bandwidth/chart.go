package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

type point struct{ x, y float64 }

type line struct {
	name   string
	points []point
}

// chart is a drawing with lines. What the text of its axes says is in units of the data.
type chart struct {
	title, x string
	// from and to are the bounds of y in ySteps; in powers of ten with log.
	from, to float64
	ySteps   int
	log      bool
	// band is shaded, if it is one.
	band [2]float64
	// right is the largest x, the least is 0; xs have a mark, and a label of their own if
	// there are any.
	right   float64
	xs      []float64
	xLabels []string
	lines   []line
}

// Sizes in pixels.
const (
	chartWidth, chartHeight      = 860, 420
	plotLeft, plotRight          = 60, 620
	plotTop, plotBottom          = 40, 370
	legendLeft, legendLineHeight = 640, 20
)

// colours differ also for who does not see red and green apart (after Okabe and Ito).
var colours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666", "#000000"}

func (c *chart) atX(x float64) float64 { return plotLeft + (plotRight-plotLeft)*x/c.right }

func (c *chart) atY(y float64) float64 {
	share := (y - c.from) / (c.to - c.from)
	if c.log {
		share = math.Log10(max(y, c.from)/c.from) / math.Log10(c.to/c.from)
	}
	return plotBottom - (plotBottom-plotTop)*min(1, max(0, share))
}

// svg is the drawing as a document. Equal data give equal text.
func (c *chart) svg() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="#333">`+"\n", chartWidth, chartHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", chartWidth, chartHeight)
	text(&b, plotLeft, 22, "start", 15, c.title)
	if c.band[1] > c.band[0] {
		top := c.atY(c.band[1])
		fmt.Fprintf(&b, `<rect x="%d" y="%.1f" width="%d" height="%.1f" fill="#e8f0e8"/>`+"\n", plotLeft, top, plotRight-plotLeft, c.atY(c.band[0])-top)
	}
	c.axes(&b)
	for i, l := range c.lines {
		c.line(&b, i, l)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func text(b *strings.Builder, x, y float64, anchor string, size int, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d">%s</text>`+"\n", x, y, anchor, size, html.EscapeString(s))
}

func (c *chart) axes(b *strings.Builder) {
	for i := range c.ySteps + 1 {
		share := float64(i) / float64(c.ySteps)
		v := c.from + (c.to-c.from)*share
		if c.log {
			v = c.from * math.Pow(c.to/c.from, share)
		}
		y := c.atY(v)
		fmt.Fprintf(b, `<path d="M%d %.1fH%d" stroke="#ddd"/>`+"\n", plotLeft, y, plotRight)
		text(b, plotLeft-6, y+4, "end", 12, fmt.Sprintf("%.0f", v))
	}
	for i, x := range c.xs {
		label := fmt.Sprintf("%.0f", x)
		if i < len(c.xLabels) {
			label = c.xLabels[i]
		}
		text(b, c.atX(x), plotBottom+18, "middle", 12, label)
	}
	text(b, (plotLeft+plotRight)/2, plotBottom+38, "middle", 12, c.x)
	fmt.Fprintf(b, `<path d="M%d %dV%dH%d" stroke="#333" fill="none"/>`+"\n", plotLeft, plotTop, plotBottom, plotRight)
}

func (c *chart) line(b *strings.Builder, i int, l line) {
	colour, dash := colours[i%len(colours)], ""
	if i >= len(colours) {
		dash = ` stroke-dasharray="4 3"`
	}
	var path strings.Builder
	for j, p := range l.points {
		verb := "L"
		if j == 0 {
			verb = "M"
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", verb, c.atX(p.x), c.atY(p.y))
	}
	fmt.Fprintf(b, `<path d="%s" stroke="%s" stroke-width="1.6"%s fill="none"/>`+"\n", path.String(), colour, dash)
	y := float64(plotTop + 8 + legendLineHeight*i)
	fmt.Fprintf(b, `<path d="M%d %.1fh18" stroke="%s" stroke-width="2"%s/>`+"\n", legendLeft, y, colour, dash)
	text(b, legendLeft+24, y+4, "start", 12, l.name)
}
