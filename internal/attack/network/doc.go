// Package network holds no code: its tests are the attacks that a server, a mirror,
// the network between, or the thief of a key can make on a machine that installs and
// updates, and what the machine must do about each.
//
// Every case begins with a machine that has installed version 1 of an application
// from an honest server. Then version 2 is published, and the attack takes place:
// documents are changed and signed again with the right keys ([forge_test.go]), so
// that it is never the signature that hides the check which is meant, or a server
// tells lies of its own ([liar_test.go]). The machine updates; and one function
// ([judge_test.go]) looks at what became of it: version 1 is there to its last byte,
// or version 2 whole; nothing beside the installation was touched; the error is of
// the right kind and can be shown; and once an honest server answers again, the plain
// update reaches the newest version and leaves nothing behind.
//
// A case bears the number of its row in the catalogue of attacks as the first word of
// its name. [TestCatalogue] sees to it that each number is there, and says where a
// case stands that another package's tests cover.
package network
