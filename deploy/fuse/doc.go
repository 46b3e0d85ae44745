// Package fuse x.
package fuse
