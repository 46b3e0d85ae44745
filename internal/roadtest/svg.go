package main

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// The picture's measures, in pixels.
const (
	width     = 960
	left      = 190 // of the bars
	right     = 70  // for the number behind the longest bar
	thickness = 10
	gap       = 10 // between groups
	title     = 34 // of a family
)

// series is one colour of bars.
type series struct {
	name, colour string
	bytes        func(r result, p pair) (int64, bool)
}

// drawn are the series, in the order of their bars.
var drawn = []series{
	{"Larch", "#1f6feb", func(r result, p pair) (int64, bool) { return bytesOf(r.larch, p) }},
	{"OSTree", "#d1731f", func(r result, p pair) (int64, bool) { return bytesOf(r.column(ostreePlain), p) }},
	{"casync", "#3f8f5f", func(r result, p pair) (int64, bool) { return bytesOf(r.column(casyncName), p) }},
	{"limit: file against file, bsdiff or zstd -19; from nothing, tar and zstd -19", "#9a9a9a", result.smallestLimit},
}

func bytesOf(figures map[pair]figure, p pair) (int64, bool) {
	f, ok := figures[p]
	return f.Bytes, ok && f.Bytes > 0
}

// picture draws bars of bytes, on a logarithmic scale, for the steps that all
// peers are measured with. It has its own background, so it reads the same on a
// light page and a dark one.
func picture(results []result) string {
	c := &canvas{results: results}
	c.scale()
	c.y = 86
	for _, r := range results {
		c.family(r)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" font-family="system-ui, sans-serif" font-size="12" fill="#1f2328">`+"\n", width, c.y+14, width, c.y+14)
	b.WriteString("<title>Bytes fetched by a fresh install, and by updates</title>\n")
	fmt.Fprintf(&b, `<rect width="%d" height="%d" rx="6" fill="#ffffff"/>`+"\n", width, c.y+14)
	b.WriteString(c.legend() + c.grid() + c.body.String() + "</svg>\n")
	return b.String()
}

// canvas collects what is drawn, downwards.
type canvas struct {
	results   []result
	low, high float64 // powers of ten
	y         int
	body      strings.Builder
}

// scale finds the powers of ten that all bars lie between.
func (c *canvas) scale() {
	c.low, c.high = math.Inf(1), math.Inf(-1)
	for _, r := range c.results {
		for _, p := range edges(r.family) {
			for _, s := range drawn {
				if n, ok := s.bytes(r, p); ok {
					c.low = min(c.low, math.Floor(math.Log10(float64(n))))
					c.high = max(c.high, math.Ceil(math.Log10(float64(n))))
				}
			}
		}
	}
	if c.low > c.high {
		c.low, c.high = 3, 6
	}
	if c.low == c.high {
		c.high++
	}
}

// x is where a bar of so many bytes ends.
func (c *canvas) x(bytes float64) float64 {
	return left + (math.Log10(bytes)-c.low)/(c.high-c.low)*(width-left-right)
}

// legend names the series that have bars.
func (c *canvas) legend() string {
	var b strings.Builder
	text(&b, 20, 26, "Bytes fetched by a fresh install, and by updates (logarithmic scale)", `font-size="15" font-weight="600"`)
	x := 20
	for _, s := range drawn {
		if !c.has(s) {
			continue
		}
		fmt.Fprintf(&b, `<rect x="%d" y="40" width="12" height="12" fill="%s"/>`+"\n", x, s.colour)
		text(&b, float64(x+18), 50, s.name, "")
		x += 44 + 7*len(s.name)
	}
	return b.String()
}

func (c *canvas) has(s series) bool {
	for _, r := range c.results {
		for _, p := range edges(r.family) {
			if _, ok := s.bytes(r, p); ok {
				return true
			}
		}
	}
	return false
}

// grid draws a line for each power of ten.
func (c *canvas) grid() string {
	var b strings.Builder
	for power := c.low; power <= c.high; power++ {
		x := c.x(math.Pow(10, power))
		fmt.Fprintf(&b, `<line x1="%.1f" y1="82" x2="%.1f" y2="%d" stroke="#d8dee4"/>`+"\n", x, x, c.y)
		text(&b, x, 76, powerOfTen(int(power)), `text-anchor="middle" font-size="11" fill="#57606a"`)
	}
	return b.String()
}

// family draws the groups of one family.
func (c *canvas) family(r result) {
	text(&c.body, 20, float64(c.y+20), r.family.name, `font-size="14" font-weight="600"`)
	c.y += title
	for _, p := range edges(r.family) {
		top := c.y
		for _, s := range drawn {
			if n, ok := s.bytes(r, p); ok {
				c.bar(n, s.colour)
			}
		}
		text(&c.body, left-8, float64(top+c.y)/2+4, r.label(p), `text-anchor="end"`)
		c.y += gap
	}
}

func (c *canvas) bar(bytes int64, colour string) {
	end := c.x(float64(bytes))
	fmt.Fprintf(&c.body, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", left, c.y, max(end-left, 1), thickness-1, colour)
	text(&c.body, max(end, left+1)+4, float64(c.y+thickness-2), size(bytes), `font-size="9"`)
	c.y += thickness
}

// text writes words at a place.
func text(b *strings.Builder, x, y float64, words, attributes string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" %s>`, x, y, attributes)
	xml.EscapeText(b, []byte(words))
	b.WriteString("</text>\n")
}
