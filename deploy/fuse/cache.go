package fuse

import (
	"container/list"
	"sync"
)

// cache keeps what was used last, up to a limit. It may be used concurrently.
type cache[K comparable, V any] struct {
	limit int64         // of the sum of sizes; one value alone may be larger
	drop  func(value V) // is called for what goes, unless nil

	mu   sync.Mutex
	size int64
	used list.List // of *cached[K, V], what was used last in front
	at   map[K]*list.Element
}

type cached[K comparable, V any] struct {
	key   K
	value V
	size  int64
}

func newCache[K comparable, V any](limit int64, drop func(V)) *cache[K, V] {
	return &cache[K, V]{limit: limit, drop: drop, at: map[K]*list.Element{}}
}

func (c *cache[K, V]) get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.at[key]
	if !ok {
		return value, false
	}
	c.used.MoveToFront(e)
	return e.Value.(*cached[K, V]).value, true
}

// put adds a value, in place of one that is there.
func (c *cache[K, V]) put(key K, value V, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removeLocked(key)
	c.at[key] = c.used.PushFront(&cached[K, V]{key, value, size})
	for c.size += size; c.size > c.limit && c.used.Len() > 1; {
		c.removeLocked(c.used.Back().Value.(*cached[K, V]).key)
	}
}

func (c *cache[K, V]) remove(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removeLocked(key)
}

func (c *cache[K, V]) removeLocked(key K) {
	e, ok := c.at[key]
	if !ok {
		return
	}
	gone := c.used.Remove(e).(*cached[K, V])
	delete(c.at, key)
	c.size -= gone.size
	if c.drop != nil {
		c.drop(gone.value)
	}
}
