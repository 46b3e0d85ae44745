// Package transport says how the named bytes of a repository travel to this
// machine. It is a contract; its folders hold the implementations: file (a
// folder on this machine), web (HTTP and HTTPS) and mirror (several of them as
// one). Each passes the suite in transporttest.
//
// A transport knows names, ranges and validators, and nothing of what the bytes
// mean: what it gives is untrusted and unbounded until the caller has bounded it
// by a signed size and checked it against a signed digest. In return the caller
// knows nothing of connections: a transport retries, waits as it is told to,
// resumes where a connection broke, and gives up on a server that is too slow.
// An error from Fetch or from reading a Body is final.
//
// What a caller does with it is in the example of Transport.
//
// The rules that a server and a client follow are in spec/6-transport.md.
package transport
