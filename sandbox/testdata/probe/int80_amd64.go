package main

// int80 makes a system call as a 32-bit program would.
func int80(number int) int
