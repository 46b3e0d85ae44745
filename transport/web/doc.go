// Package web fetches a repository from any web server, over HTTP/1.1 or HTTP/2.
//
// A server needs to do nothing but send files. What else it can do is used:
// ranges, validators, keep-alive. What it does wrong is found or survived:
//
//   - A connection that breaks is opened again where it broke; the caller's Body
//     goes on. So does one that is too slow: over the time spent waiting for it,
//     less came than Options.MinSpeed.
//   - Server errors and broken connections are tried again after a growing and
//     jittered pause, or after as long as the server asks for, within reason.
//     Tries are counted anew after progress, so that a bad line costs time and
//     not the download, but never after progress so small that it could go on
//     for ever.
//   - An answer other than what was asked for (another range, an encoding, a file
//     that changed half-way) is an error, and never reaches the caller.
//
// Credentials come from the options and go to the address's own origin (scheme,
// host and port) alone, never elsewhere by a redirect, and over plain HTTP only
// to this machine itself. Certificates are always verified.
//
// Time is that of package time and of net/http, so tests run in a synctest
// bubble, where waiting takes no time. The rules that this package follows, and
// what servers have to do, are spec/6-transport.md.
package web
