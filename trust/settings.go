package trust

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Lifetimes say for how long metadata counts after it was signed. They are signed
// with the top-level targets, so that all publishers keep to the same. A zero
// duration stands for the default.
type Lifetimes struct {
	Root      time.Duration // default one year
	Targets   time.Duration // default one year
	Publisher time.Duration // default one year
	Snapshot  time.Duration // default 30 days
	Timestamp time.Duration // default 7 days: the longest that a mirror can hide a release
}

const (
	day         = 24 * time.Hour
	year        = 365 * day
	minLifetime = time.Minute
	maxLifetime = 30 * year
)

// orDefault fills in what is zero.
func (l Lifetimes) orDefault() Lifetimes {
	defaults := []time.Duration{year, year, year, 30 * day, 7 * day}
	for i, part := range l.parts() {
		if *part.value == 0 {
			*part.value = defaults[i]
		}
	}
	return l
}

type lifetimePart struct {
	role  string
	value *time.Duration
}

// parts lists the fields of l with the names that they have in metadata.
func (l *Lifetimes) parts() []lifetimePart {
	return []lifetimePart{
		{metadata.ROOT, &l.Root},
		{metadata.TARGETS, &l.Targets},
		{"publisher", &l.Publisher},
		{metadata.SNAPSHOT, &l.Snapshot},
		{metadata.TIMESTAMP, &l.Timestamp},
	}
}

// of gives the lifetime of a role's metadata.
func (l Lifetimes) of(role string) time.Duration {
	for _, part := range l.parts() {
		if part.role == role {
			return *part.value
		}
	}
	return l.Publisher
}

func (l Lifetimes) check() error {
	for _, part := range l.parts() {
		if v := *part.value; v < minLifetime || v > maxLifetime || v%time.Second != 0 {
			return fmt.Errorf("lifetime of %s: %v: want whole seconds, %v to %v", part.role, v, minLifetime, maxLifetime)
		}
	}
	return nil
}

// settings are what Larch adds to the top-level targets (spec/4-trust.md §4.5).
type settings struct {
	mirrors   []string
	lifetimes Lifetimes // without zeros
}

const (
	mirrorsMember   = "mirrors"
	lifetimesMember = "lifetimes"
)

// settingsOf reads them; what is absent is default.
func settingsOf(t *metadata.TargetsType) (settings, error) {
	var s settings
	if err := s.readMirrors(t.UnrecognizedFields[mirrorsMember]); err != nil {
		return s, err
	}
	return s, s.readLifetimes(t.UnrecognizedFields[lifetimesMember])
}

func (s *settings) readMirrors(member any) error {
	if member == nil {
		return nil
	}
	list, ok := member.([]any)
	if !ok {
		return errors.New("mirrors: want a list")
	}
	for _, element := range list {
		address, ok := element.(string)
		if !ok {
			return errors.New("mirrors: want addresses")
		}
		s.mirrors = append(s.mirrors, address)
	}
	return checkMirrors(s.mirrors)
}

func (s *settings) readLifetimes(member any) error {
	s.lifetimes = Lifetimes{}.orDefault()
	if member == nil {
		return nil
	}
	values, ok := member.(map[string]any)
	if !ok {
		return errors.New("lifetimes: want an object")
	}
	for _, part := range s.lifetimes.parts() {
		switch seconds := values[part.role].(type) {
		case nil:
		case float64: // as go-tuf decodes members that it does not know
			if seconds < 0 || seconds > maxLifetime.Seconds() {
				return fmt.Errorf("lifetime of %s is out of range", part.role)
			}
			*part.value = time.Duration(seconds) * time.Second
		default:
			return fmt.Errorf("lifetime of %s: want seconds", part.role)
		}
	}
	return s.lifetimes.check()
}

// write puts the settings into t; defaults are left out.
func (s settings) write(t *metadata.TargetsType) error {
	s.lifetimes = s.lifetimes.orDefault()
	if err := errors.Join(checkMirrors(s.mirrors), s.lifetimes.check()); err != nil {
		return err
	}
	if t.UnrecognizedFields == nil {
		t.UnrecognizedFields = map[string]any{}
	}
	delete(t.UnrecognizedFields, mirrorsMember)
	if len(s.mirrors) > 0 {
		list := make([]any, len(s.mirrors))
		for i, address := range s.mirrors {
			list[i] = address
		}
		t.UnrecognizedFields[mirrorsMember] = list
	}
	delete(t.UnrecognizedFields, lifetimesMember)
	values, defaults := map[string]any{}, Lifetimes{}.orDefault()
	for _, part := range s.lifetimes.parts() {
		if *part.value != defaults.of(part.role) {
			values[part.role] = float64(*part.value / time.Second)
		}
	}
	if len(values) > 0 {
		t.UnrecognizedFields[lifetimesMember] = values
	}
	return nil
}

// checkMirrors keeps to plain web addresses: a mirror is asked without credentials.
func checkMirrors(addresses []string) error {
	if len(addresses) > maxMirrors {
		return fmt.Errorf("mirrors: %d addresses, limit %d", len(addresses), maxMirrors)
	}
	for i, address := range addresses {
		if len(address) > maxAddress || slices.Contains(addresses[:i], address) {
			return fmt.Errorf("mirror %.80q: too long, or there twice", address)
		}
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
			u.Scheme != "https" && u.Scheme != "http" {
			return fmt.Errorf("mirror %.80q: want http(s)://host/path without credentials, query or fragment", address)
		}
	}
	return nil
}
