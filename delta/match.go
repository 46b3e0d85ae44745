package delta

import (
	"bytes"
	"context"
)

// matcher finds copies.
type matcher struct {
	ctx      context.Context
	old, new []byte
	sa       []int32
	heads    []int32
}

func match(ctx context.Context, old, new []byte) ([]operation, error) {
	m := &matcher{ctx: ctx, old: old, new: new, sa: suffixes(old)}
	m.index()
	ops := m.parse()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return ops, nil
}

// index finds where suffixes with the same first two bytes begin.
func (m *matcher) index() {
	m.heads = make([]int32, 1<<16+1)
	for i := range m.old {
		k := int(m.old[i]) << 8
		if i+1 < len(m.old) {
			k |= int(m.old[i+1])
		}
		m.heads[k+1]++
	}
	for i := range 1 << 16 {
		m.heads[i+1] += m.heads[i]
	}
}

func common(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for i+8 <= n && bytes.Equal(a[i:i+8], b[i:i+8]) {
		i += 8
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// longest finds the longest match of the beginning of p.
func (m *matcher) longest(p []byte) (at, length int) {
	if len(p) < 2 || len(m.sa) == 0 {
		return 0, 0
	}
	k := int(p[0])<<8 | int(p[1])
	lo, hi := int(m.heads[k]), int(m.heads[k+1])
	if lo == hi {
		return 0, 0
	}
	lo--
	a, b := 0, 0 // common with sa[lo], sa[hi]
	for hi-lo > 1 {
		mid := int(uint(lo+hi) / 2)
		s := int(m.sa[mid])
		n := min(a, b)
		n += common(m.old[s+n:], p[n:])
		if n > length {
			at, length = s, n
		}
		if n == len(p) || s+n < len(m.old) && m.old[s+n] > p[n] {
			hi, b = mid, n
		} else {
			lo, a = mid, n
		}
	}
	return at, length
}

const (
	minGain  = 8
	textGain = 32
	farGain  = 16
	near     = 1 << 14
)

// parse goes through new once.
func (m *matcher) parse() (ops []operation) {
	old, new := m.old, m.new
	done := 0 // new is covered up to here by ops
	lastNew, lastOld := 0, 0
	shift := 0 // old - new of the current alignment
	scan, at, length, score, seen := 0, 0, 0, 0, 0
	for scan < len(new) && m.ctx.Err() == nil {
		score = 0
		scan += length
		for seen = scan; scan < len(new); scan++ {
			at, length = m.longest(new[scan:])
			for ; seen < scan+length; seen++ {
				if o := seen + shift; o >= 0 && o < len(old) && old[o] == new[seen] {
					score++
				}
			}
			if length == score && length != 0 || length > score+minGain && (length > score+farGain || abs(at-scan-shift) < near) && (length > score+textGain || !textual(new[scan:scan+length])) {
				break
			}
			if o := scan + shift; o >= 0 && o < len(old) && old[o] == new[scan] {
				score--
			}
		}
		if length == score && scan < len(new) {
			continue
		}
		forward := m.forward(lastNew, lastOld, scan)
		back := 0
		if scan < len(new) {
			back = m.backward(scan, at, lastNew)
		}
		if over := lastNew + forward - (scan - back); over > 0 {
			cut := m.cut(lastNew+forward-over, lastOld+forward-over, scan-back, at-back, over)
			forward += cut - over
			back -= cut
		}
		if forward > 0 {
			ops = append(ops, operation{uint32(lastNew - done), uint32(forward), int64(lastOld)})
			done = lastNew + forward
		}
		lastNew, lastOld = scan-back, at-back
		shift = at - scan
	}
	if done < len(new) {
		ops = append(ops, operation{uint32(len(new) - done), 0, 0})
		if n := len(ops); n > 1 {
			ops[n-1].old = ops[n-2].old + int64(ops[n-2].length)
		}
	}
	return ops
}

// forward gives how far a copy goes on with more right than wrong.
func (m *matcher) forward(n, o, limit int) int {
	s, best, length := 0, 0, 0
	for i := 0; n+i < limit && o+i < len(m.old); {
		if m.old[o+i] == m.new[n+i] {
			s++
		}
		i++
		if 2*s-i > 2*best-length {
			best, length = s, i
		}
	}
	return length
}

func (m *matcher) backward(n, o, limit int) int {
	s, best, length := 0, 0, 0
	for i := 1; n-i >= limit && o-i >= 0; i++ {
		if m.old[o-i] == m.new[n-i] {
			s++
		}
		if 2*s-i > 2*best-length {
			best, length = s, i
		}
	}
	return length
}

// cut divides bytes that two copies could have.
func (m *matcher) cut(n1, o1, n2, o2, over int) int {
	s, best, at := 0, 0, 0
	for i := range over {
		if m.new[n1+i] == m.old[o1+i] {
			s++
		}
		if m.new[n2+i] == m.old[o2+i] {
			s--
		}
		if s > best {
			best, at = s, i+1
		}
	}
	return at
}

// textual tells whether bytes are likely to be text.
func textual(p []byte) bool {
	for _, b := range p {
		if b < ' ' && b != '\n' && b != '\t' && b != '\r' || b == 0x7f {
			return false
		}
	}
	return true
}

func abs(v int) int { return max(v, -v) }
