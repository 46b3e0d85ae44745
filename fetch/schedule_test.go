package fetch

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// starts gives where segments begin, for comparison.
func starts(segments []segment) (list []int64) {
	for _, s := range segments {
		list = append(list, int64(s.pack)*1000+s.offset)
	}
	return list
}

func testSegments() []segment {
	return []segment{{pack: 0}, {pack: 0, offset: 10}, {pack: 0, offset: 20}, {pack: 1, offset: 30}, {pack: 1, offset: 40}}
}

func TestScheduleWithRanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(testSegments())
		take := func(want ...int64) {
			t.Helper()
			if diff := cmp.Diff(want, starts(s.next(t.Context()))); diff != "" {
				t.Error(diff)
			}
		}
		take(0)
		take(10)
		var waited []segment
		go func() { waited = s.next(t.Context()) }()
		synctest.Wait()
		if waited != nil {
			t.Fatal("a second one before the answer")
		}
		s.failed() // no answer: the next one asks
		synctest.Wait()
		if diff := cmp.Diff([]int64{20}, starts(waited)); diff != "" {
			t.Fatal(diff)
		}
		if more := s.answered(0, false); more != nil {
			t.Error(more)
		}
		take(1030)
		take(1040)
		take()
	})
}

func TestScheduleWithoutRanges(t *testing.T) {
	s := newSchedule(testSegments())
	s.next(t.Context())
	s.next(t.Context())
	if diff := cmp.Diff([]int64{20}, starts(s.answered(0, true))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int64{1030, 1040}, starts(s.next(t.Context()))); diff != "" {
		t.Error(diff)
	}
	if rest := s.next(t.Context()); rest != nil {
		t.Error(rest)
	}
}

func TestScheduleEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newSchedule(testSegments())
		s.next(ctx)
		s.next(ctx)
		ended := false
		go func() { ended = s.next(ctx) == nil }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		if !ended {
			t.Error("it waits for ever")
		}
	})
}
