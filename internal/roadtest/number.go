package main

import (
	"fmt"
	"time"
)

// none stands for a figure that there is not.
const none = "–"

// size writes bytes with three digits: 812 B, 52.3 kB, 1.16 MB.
func size(n int64) string {
	f, unit := float64(n), 0
	for f >= 999.5 && unit < 3 {
		f /= 1000
		unit++
	}
	digits := 0
	if unit > 0 && f < 9.995 {
		digits = 2
	} else if unit > 0 && f < 99.95 {
		digits = 1
	}
	return fmt.Sprintf("%.*f %s", digits, f, [...]string{"B", "kB", "MB", "GB"}[unit])
}

// powerOfTen writes so many bytes without digits behind the point: 100 kB.
func powerOfTen(power int) string {
	return [...]string{"1", "10", "100"}[power%3] + " " + [...]string{"B", "kB", "MB", "GB", "TB"}[power/3]
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func mebibytes(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }

// ratio writes a quotient, with more digits if it is small.
func ratio(f float64) string {
	if f < 0.1 {
		return fmt.Sprintf("%.3f", f)
	}
	return fmt.Sprintf("%.2f", f)
}

// quotient writes what share a is of b.
func quotient(a, b int64) string {
	if b == 0 {
		return none
	}
	return ratio(float64(a) / float64(b))
}
