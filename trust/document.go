package trust

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Short names for go-tuf's documents.
type (
	rootDoc      = metadata.Metadata[metadata.RootType]
	timestampDoc = metadata.Metadata[metadata.TimestampType]
	snapshotDoc  = metadata.Metadata[metadata.SnapshotType]
	targetsDoc   = metadata.Metadata[metadata.TargetsType]
)

// The parse functions stand between bytes from strangers and go-tuf: a document
// that passes has its one form (spec/4-trust.md §4.3), holds no null, is as large
// and as deep as it may be, and has every member that go-tuf goes on to use. They
// look at no signature. file is for messages.

func parseRoot(file string, data []byte) (*rootDoc, error) {
	return parse(file, data, maxRoot, checkRoot)
}

func parseTimestamp(file string, data []byte) (*timestampDoc, error) {
	return parse(file, data, maxTimestamp, checkTimestamp)
}

func parseSnapshot(file string, data []byte) (*snapshotDoc, error) {
	return parse(file, data, maxSnapshot, checkSnapshot)
}

// parseTargets reads the top-level targets, which only delegate.
func parseTargets(file string, data []byte) (*targetsDoc, error) {
	return parse(file, data, maxTargets, checkTargets)
}

// parsePublisher reads a publisher's targets, which do not delegate.
func parsePublisher(file string, data []byte) (*targetsDoc, error) {
	return parse(file, data, maxPublisher, checkPublisher)
}

func parse[T metadata.Roles](file string, data []byte, limit int, check func(*T) error) (*metadata.Metadata[T], error) {
	if len(data) > limit {
		return nil, problem(file, ErrFormat, "%d bytes, limit %d", len(data), limit)
	}
	if err := checkJSON(data); err != nil {
		return nil, problem(file, ErrFormat, "%v", err)
	}
	m, err := new(metadata.Metadata[T]).FromBytes(data)
	if err != nil {
		return nil, problem(file, ErrFormat, "%.200q", err.Error())
	}
	again, err := encode(m)
	if err != nil || !bytes.Equal(again, data) {
		return nil, problem(file, ErrFormat, "members are not in their one form")
	}
	if err := checkSignatures(m.Signatures); err != nil {
		return nil, problem(file, ErrFormat, "%v", err)
	}
	if err := check(&m.Signed); err != nil {
		return nil, problem(file, ErrFormat, "%v", err)
	}
	return m, nil
}

// encode gives a document's one form: compact JSON, members in byte order.
func encode[T metadata.Roles](m *metadata.Metadata[T]) ([]byte, error) { return m.ToBytes(false) }

// clone copies a document so that it can be changed.
func clone[T metadata.Roles](m *metadata.Metadata[T]) (*metadata.Metadata[T], error) {
	data, err := encode(m)
	if err != nil {
		return nil, err
	}
	return new(metadata.Metadata[T]).FromBytes(data)
}

// checkJSON refuses what is not one JSON value in the form that encoding/json
// writes with sorted members: duplicates, white space, other spellings of the
// same text; and also null, fractions, and deep nesting.
func checkJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return fmt.Errorf("not JSON: %.200q", err.Error())
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the JSON value")
	}
	if err := checkValue(value, maxDepth); err != nil {
		return err
	}
	again, err := json.Marshal(value)
	if err != nil || !bytes.Equal(again, data) {
		return errors.New("JSON is not in its one form")
	}
	return nil
}

func checkValue(value any, depth int) error {
	if depth == 0 {
		return fmt.Errorf("JSON is nested deeper than %d", maxDepth)
	}
	switch v := value.(type) {
	case nil:
		return errors.New("null has no meaning here")
	case json.Number:
		if _, err := v.Int64(); err != nil {
			return fmt.Errorf("number %.40q is not a whole number of 64 bits", v.String())
		}
	case []any:
		for _, element := range v {
			if err := checkValue(element, depth-1); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, member := range v {
			if err := checkValue(member, depth-1); err != nil {
				return err
			}
		}
	}
	return nil
}
