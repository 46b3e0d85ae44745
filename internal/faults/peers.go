//go:build amd64

package main

func (l *lab) peers() ([]*scenario, error) { return nil, nil }
