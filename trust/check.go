package trust

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
)

// Finding is one thing that is wrong with the metadata of a repository.
type Finding struct {
	File    string   // within the repository, such as trust/timestamp.json
	Problem string   // safe to print
	Affects []string // refs or publishers; "every ref" where all are
	Fix     string   // what to do
}

// Check reads the folder trust/ of a repository as clients will, at a moment, and
// tells what is wrong: any changed byte in any file (all documents have one form,
// and all their signatures must be valid), what is missing, what has expired, and
// files that do not belong there. Old versions and what interrupted commits left are
// no findings as long as they are whole and signed by keys that were trusted once.
// The error is about reading the folder at all.
func Check(ctx context.Context, dir *beneath.Dir, now time.Time) ([]Finding, error) {
	trust, err := dir.OpenDir(folder)
	if err != nil {
		return nil, err
	}
	defer trust.Close()
	names, err := trust.ReadDir(".")
	if err != nil {
		return nil, err
	}
	c := &checker{trust: trust, now: now, keys: map[string]map[string]*metadata.Key{}}
	c.roots(names)
	c.head(ctx)
	c.others(names)
	return c.findings, ctx.Err()
}

type checker struct {
	trust    *beneath.Dir
	now      time.Time
	findings []Finding

	newest []byte // the newest root, if it and the chain to it are right
	state  *set   // what the head leads to, if that is right
	seen   []string
	keys   map[string]map[string]*metadata.Key // of any version, by role and id
}

const (
	everyRef     = "every ref"
	fixFromCopy  = "restore the file from a mirror or a copy"
	fixRefresh   = "run `larch repo refresh` where the keys are"
	fixUnwanted  = "remove the file, or run `larch repo prune`"
	whileReading = "the rest of the metadata cannot be checked before this is repaired"
)

func (c *checker) find(name, problem, fix string, affects ...string) {
	c.findings = append(c.findings, Finding{published(name), problem, affects, fix})
}

// fail turns an error about a file into a finding.
func (c *checker) fail(name string, err error, affects ...string) {
	fix := fixFromCopy
	text := err.Error()
	var e *Error
	if errors.As(err, &e) {
		text = fmt.Sprintf("%v: %s", e.Kind, e.Detail)
		if path, ok := strings.CutPrefix(e.File, folder+"/"); ok {
			name = path
		}
	}
	switch {
	case errors.Is(err, ErrExpired):
		fix = fixRefresh
	case errors.Is(err, fs.ErrNotExist):
		text = "is missing"
	case errors.Is(err, digest.ErrMismatch), errors.Is(err, beneath.ErrTooLarge):
		text = "its bytes are not those that the signed metadata names"
	}
	c.find(name, strings.TrimSuffix(text, ": "), fix, affects...)
}

// roots checks the chain from the first root to the newest.
func (c *checker) roots(names []string) {
	versions, _ := rootVersions(c.trust)
	if len(versions) == 0 {
		c.find(versioned(metadata.ROOT, 1), "is missing", fixFromCopy, everyRef)
		return
	}
	var a *assembly
	for version := int64(1); version <= versions[len(versions)-1]; version++ {
		name := versioned(metadata.ROOT, version)
		c.seen = append(c.seen, name)
		data, err := c.trust.ReadFile(name, maxRoot)
		if err == nil {
			a, err = c.root(a, version, data)
		}
		if err != nil {
			c.fail(name, err, everyRef)
			c.newest = nil
			return
		}
		c.newest = data
	}
	if a.trusted.RefTime = c.now; a.checkRootTime() != nil {
		c.fail(versioned(metadata.ROOT, a.trusted.Root.Signed.Version), a.checkRootTime(), everyRef)
	}
}

// root follows from the roots before to one more.
func (c *checker) root(a *assembly, version int64, data []byte) (*assembly, error) {
	name := versioned(metadata.ROOT, version)
	doc, err := parseRoot(published(name), data)
	if err != nil {
		return a, err
	}
	allowed := []map[string]*metadata.Key{keysFor(doc.Signed.Keys, doc.Signed.Roles[metadata.ROOT].KeyIDs)}
	if a == nil {
		a, err = startAssembly(version, data, time.Time{}, readFrom(c.trust))
	} else {
		before := a.trusted.Root
		allowed = append(allowed, keysFor(before.Signed.Keys, before.Signed.Roles[metadata.ROOT].KeyIDs))
		err = a.nextRoot(data)
	}
	if err != nil {
		return a, err
	}
	for _, role := range []string{metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
		c.learn(role, doc.Signed.Keys, doc.Signed.Roles[role].KeyIDs)
	}
	return a, allSigned(published(name), doc, allowed...)
}

func keysFor(keys map[string]*metadata.Key, ids []string) map[string]*metadata.Key {
	some := map[string]*metadata.Key{}
	for _, id := range ids {
		some[id] = keys[id]
	}
	return some
}

func (c *checker) learn(role string, keys map[string]*metadata.Key, ids []string) {
	if c.keys[role] == nil {
		c.keys[role] = map[string]*metadata.Key{}
	}
	for id, key := range keysFor(keys, ids) {
		c.keys[role][id] = key
	}
}

// allSigned makes sure that each of a document's signatures is valid by one of the
// keys, not only as many as must be: so no byte of it can change unnoticed.
func allSigned[T metadata.Roles](file string, doc *metadata.Metadata[T], keys ...map[string]*metadata.Key) error {
	for _, s := range doc.Signatures {
		i := slices.IndexFunc(keys, func(some map[string]*metadata.Key) bool { return some[s.KeyID] != nil })
		if i < 0 {
			return problem(file, ErrSignature, "it bears a signature of the key %s, which may not sign it", s.KeyID)
		}
		if !signedBy(doc, s.KeyID, keys[i][s.KeyID]) {
			return problem(file, ErrSignature, "the signature of the key %s is not valid", s.KeyID)
		}
	}
	return nil
}

// leftSigned is allSigned for a document that nothing names. It may be of an
// interrupted change of keys: the signature of a key that was never published says
// nothing then.
func leftSigned[T metadata.Roles](file string, doc *metadata.Metadata[T], keys map[string]*metadata.Key) error {
	known := slices.DeleteFunc(slices.Clone(doc.Signatures), func(s metadata.Signature) bool { return keys[s.KeyID] == nil })
	if len(known) == 0 {
		return allSigned(file, doc, keys)
	}
	ours := *doc
	ours.Signatures = known
	return allSigned(file, &ours, keys)
}

// head checks timestamp.json and all that it leads to.
func (c *checker) head(ctx context.Context) {
	if c.newest == nil {
		if len(c.findings) > 0 {
			c.findings[len(c.findings)-1].Problem += "; " + whileReading
		}
		return
	}
	c.seen = append(c.seen, timestampFile)
	data, err := c.trust.ReadFile(timestampFile, maxTimestamp)
	if err != nil {
		c.fail(timestampFile, err, everyRef)
		return
	}
	root, err := parseRoot("", c.newest)
	if err != nil {
		return // it was parsed before
	}
	a, err := startAssembly(root.Signed.Version, c.newest, time.Time{}, c.readCollecting)
	if err == nil {
		err = a.timestamp(data)
	}
	if err == nil {
		err = a.rest(ctx)
	}
	if err != nil {
		c.failHead(ctx, err)
		return
	}
	c.state = &a.set
	c.learnDelegations(a.trusted.Targets[metadata.TARGETS])
	c.signatures()
	c.times()
}

// failHead says what is wrong with the file that was read last, or that a change of
// keys stopped between the new root and the rest.
func (c *checker) failHead(ctx context.Context, err error) {
	name := c.seen[len(c.seen)-1]
	if !errors.Is(err, ErrSignature) {
		c.fail(name, err, affected(err))
		return
	}
	if _, err := readStable(ctx, c.trust); err == nil {
		c.find(name, "a change of keys was interrupted: it is signed by the keys before", fixRefresh, everyRef)
		return
	}
	c.fail(name, err, affected(err))
	if named := c.missingRoot(); named != "" {
		c.findings[len(c.findings)-1].Problem += "; perhaps because " + named + " is missing, which it names"
	}
}

// missingRoot is the root that the head names, if it is not there.
func (c *checker) missingRoot() string {
	data, err := c.trust.ReadFile(timestampFile, maxTimestamp)
	if err != nil {
		return ""
	}
	head, err := parseTimestamp(published(timestampFile), data)
	if err != nil {
		return ""
	}
	version, _ := newestRoot(&head.Signed)
	name := versioned(metadata.ROOT, version)
	if exists, err := c.trust.Exists(name); exists || err != nil || version == 0 {
		return ""
	}
	return published(name)
}

func (c *checker) readCollecting(ctx context.Context, name string, meta *metadata.MetaFiles) ([]byte, error) {
	c.seen = append(c.seen, name)
	return readFrom(c.trust)(ctx, name, meta)
}

// affected says whom damage to the file of an error hurts.
func affected(err error) string {
	var e *Error
	if errors.As(err, &e) {
		if role, _, ok := parseVersioned(strings.TrimPrefix(e.File, folder+"/")); ok && isPublisherRole(role) {
			return "every ref of publisher " + publisherOf(role)
		}
	}
	return everyRef
}

// signatures looks at those that the thresholds did not need.
func (c *checker) signatures() {
	t := c.state.trusted
	file := func(role string, version int64) string { return published(versioned(role, version)) }
	snapshot, targets := t.Snapshot, t.Targets[metadata.TARGETS]
	errs := []error{
		allSigned(published(timestampFile), t.Timestamp, c.keys[metadata.TIMESTAMP]),
		allSigned(file(metadata.SNAPSHOT, snapshot.Signed.Version), snapshot, c.keys[metadata.SNAPSHOT]),
		allSigned(file(metadata.TARGETS, targets.Signed.Version), targets, c.keys[metadata.TARGETS]),
	}
	for role, doc := range c.state.publishers {
		errs = append(errs, allSigned(file(role, doc.Signed.Version), doc, c.keys[role]))
	}
	for _, err := range errs {
		if err != nil {
			c.fail("", err, affected(err))
			c.findings[len(c.findings)-1].Fix = fixRefresh
		}
	}
}

// times finds what has run out.
func (c *checker) times() {
	for _, role := range []string{metadata.TIMESTAMP, metadata.SNAPSHOT, metadata.TARGETS} {
		c.time(role, everyRef)
	}
	for _, delegated := range c.state.delegations().Roles {
		if c.state.publishers[delegated.Name] != nil {
			c.time(delegated.Name, "every ref of publisher "+publisherOf(delegated.Name))
		}
	}
}

func (c *checker) time(role, affects string) {
	expires := c.state.expiryOf(role)
	if !c.now.After(expires) {
		return
	}
	name := timestampFile
	if role != metadata.TIMESTAMP {
		name = versioned(role, c.state.versionOf(role))
	}
	c.find(name, fmt.Sprintf("%v on %s", ErrExpired, date(expires)), fixRefresh, affects)
}

// others looks at the files that the head does not lead to: targets first, since old
// ones tell the keys of old publishers' metadata.
func (c *checker) others(names []string) {
	var publishers []string
	for _, name := range names {
		role, version, ok := parseVersioned(name)
		switch {
		case slices.Contains(c.seen, name) || name == timestampFile || name == lockFile || strings.HasPrefix(name, ".new-"):
		case !ok:
			c.find(name, "does not belong here", fixUnwanted)
		case role == metadata.ROOT || c.state == nil: // a break in the chain was found before
		case isPublisherRole(role):
			publishers = append(publishers, name)
		default:
			c.leftover(name, role, version)
		}
	}
	for _, name := range publishers {
		role, version, _ := parseVersioned(name)
		c.leftover(name, role, version)
	}
}

// leftover checks a document that nothing names by itself.
func (c *checker) leftover(name, role string, version int64) {
	data, err := c.trust.ReadFile(name, maxPublisher)
	if err == nil {
		err = c.document(published(name), role, version, data)
	}
	if err != nil {
		c.fail(name, err)
		c.findings[len(c.findings)-1].Fix = fixUnwanted
	}
}

func (c *checker) document(file, role string, version int64, data []byte) error {
	switch role {
	case metadata.SNAPSHOT:
		doc, err := parseSnapshot(file, data)
		if err != nil {
			return err
		}
		return errors.Join(sameVersion(file, doc.Signed.Version, version), leftSigned(file, doc, c.keys[role]))
	case metadata.TARGETS:
		doc, err := parseTargets(file, data)
		if err != nil {
			return err
		}
		c.learnDelegations(doc)
		return errors.Join(sameVersion(file, doc.Signed.Version, version), leftSigned(file, doc, c.keys[role]))
	}
	doc, err := parsePublisher(file, data)
	if err != nil {
		return err
	}
	return errors.Join(sameVersion(file, doc.Signed.Version, version), allSigned(file, doc, c.keys[role]))
}

func (c *checker) learnDelegations(doc *targetsDoc) {
	for _, delegated := range doc.Signed.Delegations.Roles {
		c.learn(delegated.Name, doc.Signed.Delegations.Keys, delegated.KeyIDs)
	}
}

func sameVersion(file string, have, want int64) error {
	if have != want {
		return problem(file, ErrFormat, "it is version %d", have)
	}
	return nil
}
