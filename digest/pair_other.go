//go:build !amd64

package digest

const pairs = false

func hashPair(*[2 * BlockSize]byte) (sums [2 * Size]byte) { panic("not called without pairs") }
