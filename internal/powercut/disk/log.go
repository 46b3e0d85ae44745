package disk

import "math/rand/v2"

// Block is what reaches a drive whole or not at all, in bytes.
const Block = 4096

// Kind is what an entry of a log records.
type Kind int

const (
	Write Kind = iota
	Flush      // all writes before it are on the drive for good
	Mark       // something that whoever uses the device said
)

// Entry is one request to a device, in the order in which they were answered.
type Entry struct {
	Kind   Kind
	Offset int64  // bytes
	Data   []byte // of a write
	Text   string // of a mark
}

// Epoch is the time between two flushes, as positions in a log: entries before From
// are on the drive; of those from there to To any may be.
type Epoch struct{ From, To int }

// Epochs divides a log by its flushes. Only those with writes are given, since the
// others leave the same images as their neighbours, and the last, which no flush ends.
func Epochs(log []Entry) (all []Epoch) {
	from, wrote := 0, true
	for i, e := range log {
		switch e.Kind {
		case Write:
			wrote = true
		case Flush:
			if wrote {
				all = append(all, Epoch{from, i})
			}
			from, wrote = i+1, false
		}
	}
	return append(all, Epoch{from, len(log)})
}

// Mode says what survives of the writes after the last flush.
type Mode int

const (
	None   Mode = iota // nothing: the drive's cache was lost
	Prefix             // a beginning: the drive kept the order
	Subset             // any blocks: it did not
	Modes
)

func (m Mode) String() string { return [...]string{"none", "prefix", "subset"}[m] }

// Survivors are the writes that are on the drive when the power fails in an epoch.
func Survivors(log []Entry, e Epoch, mode Mode, random *rand.Rand) []Entry {
	kept := writes(log[:e.From])
	late := writes(log[e.From:e.To])
	switch mode {
	case Prefix:
		kept = append(kept, late[:random.IntN(len(late)+1)]...)
	case Subset:
		for _, w := range late {
			for at := 0; at < len(w.Data); at += Block {
				if random.IntN(2) == 0 {
					end := min(at+Block, len(w.Data))
					kept = append(kept, Entry{Offset: w.Offset + int64(at), Data: w.Data[at:end]})
				}
			}
		}
	}
	return kept
}

func writes(log []Entry) (all []Entry) {
	for _, e := range log {
		if e.Kind == Write {
			all = append(all, e)
		}
	}
	return all
}
