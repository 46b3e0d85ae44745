// Package install keeps what one machine, or one user of it, has installed.
//
// An [Installation] is a folder:
//
//	installation.json   the format
//	lock                held by who changes anything below
//	current             a link to the generation that counts
//	generations/N/      what was installed after transaction N, and its exports
//	deployments/        releases in the forms that programs use (package deploy)
//	objects/ trees/ releases/   what they are made of (package store)
//	remotes/NAME/       repositories that are trusted (package trust)
//	tmp/                what is being made or removed; swept under the lock
//
// A transaction is planned, shown and applied: [Installation.PlanInstall] and its
// siblings find out exactly what would be fetched, stored and permitted, and
// [Plan.Apply] does it. All that is new is made beside what is there: contents in
// the store, deployments, and a generation, the folder that lists what is installed
// and holds what the desktop sees of it. Then one rename of the link current
// switches over. Before that rename nothing has changed for anybody; after it
// everything has, exports included, and survives a power cut. What an interrupted
// transaction leaves is either content, which the next one uses, or is swept.
//
// Generations never change, and their numbers only grow. [Installation.Undo] makes a
// new one out of an old one, without the network, so that the history stays true.
// [Installation.GC] removes what no kept generation needs.
//
// Reading takes no lock and no permission to write: a reader opens current once
// and sees one generation, wholly. A program that runs holds its deployment, so
// that nobody takes it away; see [Installation.OpenApp].
//
// Nothing that a release says is executed here, and of what it exports to the
// desktop only rewritten desktop entries and icons under its own id pass.
//
// This package is also where implementations are listed: [Backends] and
// [OpenTransport].
//
// Source: spec/9-install.md.
package install
