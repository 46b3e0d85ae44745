// Package check is the oracle: it is given what Larch made, a repository, a store
// or a deployment, and finds what is wrong with it.
//
// Every flipped bit, missing file, name that leads nowhere, wrong mode and file
// too many is a [Finding], which says what is affected and what to do. Checking
// changes nothing. The command uses it, and so does every test that wrote
// something.
package check
