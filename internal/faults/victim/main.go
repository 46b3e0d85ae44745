//go:build amd64

// Command victim is a bad program, as the suite must find: victim HOW FILE.
package main

func main() {}
