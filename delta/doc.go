// Package delta says how a content differs from another: a patch is the new
// content, given the old one.
package delta
