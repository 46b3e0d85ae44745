package disk

import (
	"encoding/binary"
	"fmt"
	"os"
)

// A journal is the file in which a log is kept while the device is in use. Each entry is
// appended by one write(2), by the server and by who marks alike: a byte for its kind,
// 8 for its offset, 8 for its length, and its data or text.
const headerSize = 17

type journal struct{ f *os.File }

func openJournal(path string) (journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	return journal{f}, err
}

func (j journal) add(e Entry) error {
	data := e.Data
	if e.Kind == Mark {
		data = []byte(e.Text)
	}
	p := make([]byte, headerSize, headerSize+len(data))
	p[0] = byte(e.Kind)
	binary.LittleEndian.PutUint64(p[1:], uint64(e.Offset))
	binary.LittleEndian.PutUint64(p[9:], uint64(len(data)))
	_, err := j.f.Write(append(p, data...))
	return err
}

// read gives what is in it by now.
func (j journal) read() (all []Entry, err error) {
	p, err := os.ReadFile(j.f.Name())
	if err != nil {
		return nil, err
	}
	for len(p) > 0 {
		if len(p) < headerSize || uint64(len(p)-headerSize) < binary.LittleEndian.Uint64(p[9:]) {
			return nil, fmt.Errorf("%s: an entry is cut off", j.f.Name())
		}
		e := Entry{Kind: Kind(p[0]), Offset: int64(binary.LittleEndian.Uint64(p[1:]))}
		end := headerSize + int(binary.LittleEndian.Uint64(p[9:]))
		switch data := p[headerSize:end]; e.Kind {
		case Write:
			e.Data = data
		case Mark:
			e.Text = string(data)
		}
		all, p = append(all, e), p[end:]
	}
	return all, nil
}
