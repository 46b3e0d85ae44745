// Package deploytest is the suite that every backend of package deploy passes.
//
// It makes deployments of trees that are hard to make, on contents of its own,
// and asks of each backend what the contract promises: the same tree out as in,
// all or nothing at every fault, nothing in use taken away, damage found as the
// backend's Support says.
package deploytest
