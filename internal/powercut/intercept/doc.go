// Package intercept runs a command and is asked before each of its system calls that
// change something: it may do something first, let the call be done, or answer in the
// kernel's place.
//
// It uses seccomp's user notification, so that every thread and every process that the
// command starts is covered, in programs that are linked statically too, and the command
// needs no help for it. A program that uses this package calls [Child] first in main.
//
// Source: seccomp_unotify(2).
package intercept
