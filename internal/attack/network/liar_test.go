package network

import (
	"maps"
	"net/http"
	"strings"
	"sync"

	"github.com/larch-project/larch/transport/transporttest"
)

// liar is a server of a repository below the path /r/, which answers honestly what
// it has no rule for.
type liar struct {
	*transporttest.Server

	mu    sync.Mutex
	files state
	age   int // of files
	rules map[string]transporttest.Answer
	log   []string // the names that were asked for
}

func newLiar(files state) *liar {
	l := &liar{Server: transporttest.NewServer(nil), rules: map[string]transporttest.Answer{}}
	l.serve(files)
	l.Always(l.answer)
	return l
}

// serve sets other files, of which the liar keeps a copy.
func (l *liar) serve(files state) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.age++
	l.files = maps.Clone(files)
	l.Replace(l.files.mapFS(l.age))
}

// put sets files besides those that are served; nil takes one away.
func (l *liar) put(files state) {
	l.mu.Lock()
	all := maps.Clone(l.files)
	l.mu.Unlock()
	for name, data := range files {
		if all[name] = data; data == nil {
			delete(all, name)
		}
	}
	l.serve(all)
}

// lie sets the answer for all names with a prefix: the longest one counts.
func (l *liar) lie(prefix string, answer transporttest.Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rules[prefix] = answer
}

// repent takes back all rules.
func (l *liar) repent() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.rules)
}

// asked gives the names that were asked for since the last call.
func (l *liar) asked() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	log := l.log
	l.log = nil
	return log
}

func (l *liar) answer(w http.ResponseWriter, r *http.Request, honest http.Handler) {
	name := strings.TrimPrefix(r.URL.Path, "/r/")
	l.mu.Lock()
	l.log = append(l.log, name)
	best, answer := -1, transporttest.Answer(transporttest.Honest)
	for prefix, rule := range l.rules {
		if strings.HasPrefix(name, prefix) && len(prefix) > best {
			best, answer = len(prefix), rule
		}
	}
	l.mu.Unlock()
	answer(w, r, honest)
}

// each gives every request the next answer, and then the last one for ever.
func each(answers ...transporttest.Answer) transporttest.Answer {
	var mu sync.Mutex
	at := 0
	return func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
		mu.Lock()
		answer := answers[min(at, len(answers)-1)]
		at++
		mu.Unlock()
		answer(w, r, honest)
	}
}
