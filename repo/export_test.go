package repo

import "io"

// WithFault gives the repository with a hook that is asked before each change.
func (r *Repository) WithFault(hook func(op, name string) error) *Repository {
	return &Repository{dir: r.dir.WithFault(hook)}
}

// Encode gives what stands before the frames of a delta whose tree has a frame of so
// many bytes.
func (d *Delta) Encode(tree int64) ([]byte, error) {
	d.tree = tree
	return d.encode()
}

// EncodePlan gives the plan of such a delta before compression.
func (d *Delta) EncodePlan(w io.Writer, tree int64) error {
	d.tree = tree
	return d.encodePlan(w)
}
