package repo

import (
	"time"

	"golang.org/x/sys/unix"
)

// budget is processor time that may be spent.
type budget struct {
	limit time.Duration
	start time.Duration
}

// newBudget starts to count what this process spends, on all cores, from now on.
func newBudget(limit time.Duration) *budget { return &budget{limit, spent()} }

// exhausted tells whether nothing more should be begun. What is under way is not
// ended: a budget is exceeded by a group for each core at most.
func (b *budget) exhausted() bool { return b.limit <= 0 || spent()-b.start >= b.limit }

// spent is what this process has used.
func spent() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
