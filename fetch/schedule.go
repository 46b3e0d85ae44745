package fetch

import (
	"context"
	"sync"
)

// schedule hands out segments, and finds out whether the server has ranges.
//
// Until an answer has shown it, one segment alone that does not begin its pack is
// under way: an answer from the beginning of the pack says that there are no
// ranges. Then whoever asks for a pack gets all segments of it, to read it once.
type schedule struct {
	mu       sync.Mutex
	changed  *sync.Cond
	segments []segment // not handed out yet
	ranges   ranges
	stopped  bool
}

// ranges is what is known of the server.
type ranges uint8

const (
	unknown ranges = iota
	asked          // a segment is under way whose answer will tell
	present
	absent
)

func newSchedule(segments []segment) *schedule {
	s := &schedule{segments: segments}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// next gives the segments to fetch with one request, all of one pack and in its
// order; none when there is no work, or no point in it.
func (s *schedule) next(ctx context.Context) []segment {
	stop := context.AfterFunc(ctx, s.stop)
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.ranges == asked && !s.stopped {
		s.changed.Wait()
	}
	if s.stopped || ctx.Err() != nil || len(s.segments) == 0 {
		return nil
	}
	if s.ranges == unknown && s.segments[0].offset > 0 {
		s.ranges = asked
	}
	if s.ranges == absent {
		return s.take(s.ofPack(s.segments[0].pack))
	}
	return s.take(1)
}

// ofPack counts the first segments that are of a pack.
func (s *schedule) ofPack(pack int32) int {
	n := 0
	for n < len(s.segments) && s.segments[n].pack == pack {
		n++
	}
	return n
}

func (s *schedule) take(n int) []segment {
	taken := s.segments[:n:n]
	s.segments = s.segments[n:]
	return taken
}

// answered notes that a segment behind the beginning of its pack was answered by
// that range, or by the whole pack. For a whole pack it gives what else is wanted
// of it.
func (s *schedule) answered(pack int32, whole bool) []segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changed.Broadcast()
	if !whole {
		s.ranges = present
		return nil
	}
	s.ranges = absent
	return s.take(s.ofPack(pack))
}

// failed notes that a segment had no answer.
func (s *schedule) failed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ranges == asked {
		s.ranges = unknown
	}
	s.changed.Broadcast()
}

// stop has nothing more handed out.
func (s *schedule) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.changed.Broadcast()
}
