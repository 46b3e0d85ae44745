package btrfssend

import (
	"cmp"
	"slices"
)

// extent is a piece of a file's content that is in the spool.
type extent struct {
	at     int64 // in the file, bytes
	length int64
	source int64 // in the spool
}

func (e extent) end() int64 { return e.at + e.length }

// extents are the pieces of one file, in order, without gaps that could be closed.
// What is in none of them is a hole.
type extents []extent

// from gives the number of the first piece that ends behind an offset.
func (x extents) from(offset int64) int {
	i, _ := slices.BinarySearchFunc(x, offset, func(e extent, offset int64) int {
		if e.end() <= offset {
			return -1
		}
		return cmp.Compare(1, 0)
	})
	return i
}

// slice gives what of the pieces is between two offsets.
func (x extents) slice(from, to int64) extents {
	var out extents
	for _, e := range x[x.from(from):] {
		if e.at >= to {
			break
		}
		out = append(out, e.clip(from, to))
	}
	return out
}

// clip gives the part of a piece that is between two offsets.
func (e extent) clip(from, to int64) extent {
	start, end := max(e.at, from), min(e.end(), to)
	return extent{start, end - start, e.source + start - e.at}
}

// replace puts pieces, all of them between two offsets, where others were.
func (x extents) replace(from, to int64, pieces extents) extents {
	first := x.from(from)
	last := first
	var around extents
	for last < len(x) && x[last].at < to {
		last++
	}
	if first < last && x[first].at < from {
		around = append(around, x[first].clip(x[first].at, from))
	}
	around = append(around, pieces...)
	if first < last && x[last-1].end() > to {
		around = append(around, x[last-1].clip(to, x[last-1].end()))
	}
	if first > 0 {
		first--
		around = append(extents{x[first]}, around...)
	}
	if last < len(x) {
		around = append(around, x[last])
		last++
	}
	return slices.Replace(x, first, last, around.joined()...)
}

// joined puts neighbours together that are neighbours in the spool, too.
func (x extents) joined() extents {
	out := x[:0]
	for _, e := range x {
		if n := len(out); n > 0 && out[n-1].end() == e.at && out[n-1].source+out[n-1].length == e.source {
			out[n-1].length += e.length
			continue
		}
		out = append(out, e)
	}
	return out
}
