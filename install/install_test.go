package install

import (
	"errors"
	"testing"

	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/trust"
)

func TestInstallUpdateUndoUninstall(t *testing.T) {
	p := newPublisher(t, trust.InitOptions{})
	p.publish(hello, "1.0", program("1.0"))
	m := newMachine(t)
	m.expect("")
	m.trust("example", p)
	first := m.install("hello")
	m.expect("Hello 1.0")
	if first.Generation != 1 || first.Objects != 3 || first.Fetched == 0 {
		t.Errorf("install: %+v", first)
	}

	nothing := m.update()
	if nothing.Generation != 1 || nothing.Requests != 2 {
		t.Errorf("an update with nothing new: %+v, want 2 requests", nothing)
	}

	p.publish(hello, "1.1", program("1.1"))
	second := m.update()
	m.expect("Hello 1.1")
	if second.Objects != 2 || second.Reused != 3000 {
		t.Errorf("update: %+v, want 2 objects fetched", second)
	}

	m.undo()
	m.expect("Hello 1.0")
	m.undo()
	m.expect("")
	if _, err := m.Undo(t.Context()); !errors.Is(err, ErrNothingToUndo) {
		t.Errorf("undo at the beginning: %v", err)
	}

	again := m.install("hello")
	m.expect("Hello 1.1")
	if again.Fetched > 100 || again.Objects != 0 {
		t.Errorf("install of what is here: %+v", again)
	}
	m.install("hello@1.0")
	m.expect("Hello 1.0")
	m.install("hello@1.1")
	m.expect("Hello 1.1")
	m.uninstall("hello")
	m.expect("")
	m.undo()
	m.expect("Hello 1.1")
}

func (m *machine) undo() *Generation {
	m.t.Helper()
	return must[*Generation](m.t)(m.Undo(m.t.Context()))
}

func TestRuntimesComeAndGoWithWhatRequiresThem(t *testing.T) {
	p := newPublisher(t, trust.InitOptions{})
	p.publish(tools, "1", files{"lib/tools": noise(7, 1000), "share/version": "1"})
	p.publish(hello, "1.0", program("1.0"), requiring(tools))
	m := newMachine(t)
	m.trust("example", p)
	m.install("hello")
	m.expect("Hello 1.0, Tools 1")

	if _, err := uninstall(t.Context(), m.Installation, "tools"); !errors.Is(err, ErrRequired) {
		t.Errorf("uninstall of what is required: %v", err)
	}
	o := must[*Opened](t)(m.OpenApp(t.Context(), "hello"))
	if o.Runtime == nil || o.Metadata.Runtime != tools {
		t.Errorf("opened: %+v", o)
	}
	o.Close()

	m.uninstall("hello")
	m.expect("")
	m.install("hello", "tools")
	m.uninstall("hello")
	m.expect("Tools 1")

	p.publish(hello, "1.1", program("1.1"))
	m.uninstall("tools")
	m.install("hello@1.0")
	m.expect("Hello 1.0, Tools 1")
	m.update()
	m.expect("Hello 1.1")
}

func TestPlanErrors(t *testing.T) {
	p := newPublisher(t, trust.InitOptions{})
	p.publish(hello, "1.0", program("1.0"))
	p.publish("app/org.other.Hello/"+arch+"/stable", "1", program("1"))
	p.publish("app/org.example.Broken/"+arch+"/stable", "1", program("1"), requiring(tools))
	m := newMachine(t)
	m.trust("example", p)
	m.install(hello)
	before := m.listing()
	for _, c := range []struct {
		name string
		err  error
		do   func() (*Result, error)
	}{
		{"unknown ref", release.ErrUnknownRef, func() (*Result, error) { return install(t.Context(), m.Installation, "nothing") }},
		{"ambiguous", release.ErrAmbiguous, func() (*Result, error) { return install(t.Context(), m.Installation, "hello") }},
		{"unknown version", ErrUnknownVersion, func() (*Result, error) { return install(t.Context(), m.Installation, hello+"@9") }},
		{"missing requirement", release.ErrUnknownRef, func() (*Result, error) { return install(t.Context(), m.Installation, "broken") }},
		{"not installed", ErrNotInstalled, func() (*Result, error) { return update(t.Context(), m.Installation, "broken") }},
		{"uninstall", ErrNotInstalled, func() (*Result, error) { return uninstall(t.Context(), m.Installation, "broken") }},
		{"backend", ErrBackend, func() (*Result, error) {
			return apply(t.Context())(m.PlanInstall(t.Context(), []Wanted{{Ref: "broken"}}, PlanOptions{Backend: "floppy"}))
		}},
		{"remote", ErrUnknownRemote, func() (*Result, error) {
			return apply(t.Context())(m.PlanInstall(t.Context(), []Wanted{{Ref: "broken", Remote: "x"}}, PlanOptions{}))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := c.do(); !errors.Is(err, c.err) {
				t.Errorf("%v, want %v", err, c.err)
			}
		})
	}
	m.expect("Hello 1.0")
	if after := m.listing(); after != before {
		t.Errorf("changed by errors:\n%s\nwas:\n%s", after, before)
	}
}
