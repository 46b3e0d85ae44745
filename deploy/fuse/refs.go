package fuse

// give notes that the kernel is being given a node.
func (n *nodes) give(id uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := key(id >> 32)
	if ref, ok := n.files[id]; ok {
		ref.refs++
		n.files[id] = ref
		k = ref.key
	}
	if d := n.byKey[k]; d != nil {
		d.refs++
	}
}

// forget notes that the kernel has forgotten a node that it was given so many times.
func (n *nodes) forget(id, times uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := key(id >> 32)
	if ref, ok := n.files[id]; ok {
		ref.refs -= uint32(min(uint64(ref.refs), times))
		n.files[id] = ref
		k = ref.key
	}
	if d := n.byKey[k]; d != nil {
		d.refs -= min(d.refs, times)
		n.unloadLocked(d)
	}
}

// drop stops showing a deployment. What the kernel still knows of it goes on working.
func (n *nodes) drop(d *deployment) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.byName[d.name] == d {
		delete(n.byName, d.name)
	}
	n.handOverLocked(d)
	n.unloadLocked(d)
}

// handOverLocked lets other deployments stand for the files that they have too.
func (n *nodes) handOverLocked(d *deployment) {
	for _, o := range n.byName {
		if o == d {
			continue
		}
		for id, i := range o.files() {
			if ref := n.files[id]; ref.key == d.key {
				n.files[id] = fileRef{o.key, i, ref.refs}
				d.refs -= min(d.refs, uint64(ref.refs))
				o.refs += uint64(ref.refs)
			}
		}
	}
}

// unloadLocked gives the memory of a deployment back that is neither shown nor known to
// the kernel.
func (n *nodes) unloadLocked(d *deployment) {
	if n.byName[d.name] == d || d.refs > 0 || d.pinned || n.byKey[d.key] != d {
		return
	}
	for id := range d.files() {
		if n.files[id].key == d.key {
			delete(n.files, id)
		}
	}
	delete(n.byKey, d.key)
	d.close()
	if d.order != nil {
		n.recording.Add(-1)
		d.order.close()
	}
}
