package web

import (
	"errors"
	"fmt"
	"strings"
)

const maxNetrc = 1 << 20 // bytes

// login is what a netrc file says of one host. The zero value: nothing.
type login struct{ user, password string }

var errLogin = errors.New("entry needs a login without colon, and a password")

// findLogin finds the first entry for a host, or the default one. The file is
// words: "machine HOST" or "default" begins an entry; "login NAME", "password
// WORD" and "account WORD" (which is ignored) belong to it. A word that begins
// with # at the beginning of a line makes the line a comment. "macdef" and its
// lines, up to an empty one, are skipped. Anything else is an error, which names
// its line and repeats none of it; it is one even behind the entry that is
// looked for.
func findLogin(text, host string) (login, error) {
	var (
		found  *login // the entry taken
		latest *login // the entry being read
		s      = netrcScanner{lines: strings.Split(text, "\n")}
	)
	for word := s.next(); word != ""; word = s.next() {
		switch word {
		case "machine", "default":
			latest = new(login)
			if ours := word == "default" || strings.EqualFold(s.value(), host); ours && found == nil {
				found = latest
			}
		case "login", "password", "account":
			if latest == nil {
				return login{}, s.fail(errors.New("no machine yet"))
			}
			latest.set(word, s.value())
		case "macdef":
			s.skipMacro()
		default:
			return login{}, s.fail(errors.New("neither machine, default, login, password, account nor macdef"))
		}
		if s.err != nil {
			return login{}, s.err
		}
	}
	if found == nil {
		return login{}, nil
	}
	if found.user == "" || found.password == "" || strings.Contains(found.user, ":") {
		return login{}, fmt.Errorf("host %q: %w", host, errLogin)
	}
	return *found, nil
}

func (l *login) set(word, value string) {
	switch word {
	case "login":
		l.user = value
	case "password":
		l.password = value
	}
}

// netrcScanner gives the words of a text.
type netrcScanner struct {
	lines []string // not read yet
	line  int      // number of the one being read
	words []string // rest of that line
	err   error
}

// next gives the next word, "" at the end.
func (s *netrcScanner) next() string {
	for len(s.words) == 0 {
		if len(s.lines) == 0 {
			return ""
		}
		s.words = strings.Fields(s.lines[0])
		s.lines, s.line = s.lines[1:], s.line+1
		if len(s.words) > 0 && strings.HasPrefix(s.words[0], "#") {
			s.words = nil
		}
	}
	word := s.words[0]
	s.words = s.words[1:]
	return word
}

// value gives the word that belongs to the one before it, which may stand on the
// next line, and may begin with # if it does not.
func (s *netrcScanner) value() string {
	word := s.next()
	if word == "" {
		s.err = s.fail(errors.New("ends where a word is missing"))
	}
	return word
}

func (s *netrcScanner) skipMacro() {
	s.words = nil
	for len(s.lines) > 0 && strings.TrimSpace(s.lines[0]) != "" {
		s.lines, s.line = s.lines[1:], s.line+1
	}
}

func (s *netrcScanner) fail(err error) error { return fmt.Errorf("line %d: %w", s.line, err) }
