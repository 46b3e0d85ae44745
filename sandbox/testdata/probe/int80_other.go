//go:build !amd64

package main

// int80 does not exist on this architecture.
func int80(int) int { return -1 }
