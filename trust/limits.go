package trust

// Limits on what strangers send (spec/4-trust.md §4.8). Sizes are bytes of one
// document. Where signed metadata gives a length, the smaller of both counts.
const (
	maxRoot      = 256 << 10
	maxTimestamp = 16 << 10
	maxSnapshot  = 256 << 10
	maxTargets   = 1 << 20
	maxPublisher = 1 << 20 // about 4,000 refs
	maxAll       = 2 << 20 // all publishers' metadata: what go-tuf decodes in 100 MiB of memory
	maxTarget    = 1 << 20 // a release document: spec/3-release.md §3.3

	maxDepth      = 16        // nesting of JSON values
	maxSigners    = 64        // keys of a role, signatures of a document
	maxKeys       = 1024      // keys in one document
	maxPublishers = 256       // delegations
	maxListed     = 1024      // files in a snapshot: publishers of today and of the past
	maxPaths      = 16        // patterns of one publisher
	maxMirrors    = 16        // addresses
	maxAddress    = 1024      // bytes of a mirror's address
	maxTitle      = 256       // bytes of a target's title
	maxPart       = 128       // bytes of one of a ref's four parts
	maxName       = 48        // bytes of a publisher's name
	maxVersion    = 1<<53 - 1 // what every JSON reader keeps exactly

	maxRotations = 256  // new roots that one refresh follows
	maxRoots     = 1024 // roots that a search for a fingerprint reads
	maxSkipped   = 1000 // names taken by interrupted commits that a commit passes over
)
