// Package sandbox runs a program inside a deployment, with what its permissions
// give and nothing else.
//
// The work is done by the program bubblewrap, which needs no privileges: new
// namespaces of every kind, an empty root into which the application is mounted at
// /app and its runtime at /usr, both read-only, no capabilities, and a filter on
// system calls. This package decides what bubblewrap is told. Where it cannot
// be used the answer is an error, never a run without a sandbox; that is a choice
// that the user makes in so many words (Options.Unconfined).
//
// Three rules keep what an application wrote from becoming more than data:
//
//   - Options reach bubblewrap as a list in memory (--args), the command behind
//     "--"; there is no shell, and nothing is split, so no text becomes an option.
//   - Folders that the application can change are opened from a handle that it
//     cannot, without following symlinks, and mounted by that handle; nothing is
//     mounted inside them. What replaces a folder by a link to elsewhere has no
//     folder, and neither has it elsewhere.
//   - What people are shown before an installation and what is mounted are read from
//     one parsed form, release.Permissions.
//
// The filter is assembled here, since the usual libraries let other ABIs and high
// argument bits through: the first thing it looks at is the architecture; it
// compares the 32 bits that the kernel uses; what newer kernels add does not exist.
//
// The life of a run: Run checks the request, findBubblewrap the program, build
// writes the options step by step (each step's method says what it gives), and the
// process is waited for, telling its end from bubblewrap's own by the report that
// bubblewrap writes.
//
// Rules: spec/10-sandbox.md.
package sandbox
