//go:build amd64

package main

func (o *options) flip(l *lab) error { return nil }
