package repo

// WithFault gives the repository with a hook that is asked before each change.
func (r *Repository) WithFault(hook func(op, name string) error) *Repository {
	return &Repository{dir: r.dir.WithFault(hook)}
}
