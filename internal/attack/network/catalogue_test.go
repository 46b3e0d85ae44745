package network

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// numbers are the rows of the catalogue that are about the network: keys (A), heads
// and refs (B), encodings of documents (E), and HTTP (H).
func numbers() (all []string) {
	for family, last := range map[string]int{"A": 16, "B": 16, "H": 18} {
		for n := 1; n <= last; n++ {
			all = append(all, fmt.Sprintf("%s-%02d", family, n))
		}
	}
	all = append(all, "E-01", "E-02", "E-05", "E-07", "E-08", "E-09", "E-10")
	slices.Sort(all)
	return all
}

// alsoIn are tests of other packages that take a row further, at the layer that it is
// about: with a clock of their own, without a disk, or through other entry points.
var alsoIn = map[string][]string{
	"A-04": {"trust.TestAttacks"},
	"A-06": {"trust.TestRevokedKeySignsNothing"},
	"A-07": {"trust.TestWeakKeys"},
	"A-08": {"trust.TestShapesNeverPanic"},
	"A-09": {"trust.TestRootAfterAGap", "trust.TestThreeRotationsAway", "trust.TestEndlessRotations"},
	"A-10": {"trust.TestRootsStay"},
	"B-02": {"install.TestUpdatesDoNotGoBack"},
	"B-03": {"install.TestExpiredMetadata", "trust.TestExpiredPublisherHidesOnlyItsRefs"},
	"B-04": {"trust.TestFloorSurvives"},
	"B-05": {"trust.TestFastForwardRecovery"},
	"B-10": {"install.TestSignedLies"},
	"E-01": {"trust.TestEveryByteCounts", "release.TestEveryFlippedByteGivesAnotherReleaseOrNone", "repo.TestIndexDamage"},
	"E-02": {"fetch.TestEveryFlippedByteOfADocument"},
	"E-08": {"release.TestDescribeIsSafeToPrint"},
	"H-01": {"transport/web.TestEndless", "fetch.TestEndlessServer"},
	"H-02": {"transport/web.TestHostile"},
	"H-03": {"fetch.TestServerWithoutRanges", "transport/web.TestParseContentRange", "transport/web.TestResumeChanged"},
	"H-05": {"transport/web.TestRedirects", "transport/web.TestRedirectsEnd"},
	"H-06": {"transport/web.TestRedirectCredentials", "transport/web.TestCredentials"},
	"H-09": {"transport/web.TestNoStall", "transport/web.TestResumeStalled"},
	"H-12": {"transport/web.TestPauses", "transport/web.TestTries", "transport/web.TestRetryAfter"},
	"H-14": {"transport/web.TestResumeOften"},
	"H-15": {"transport/web.TestAddresses"},
}

// TestCatalogue fails where a row has no case here, or where a test that is said to
// cover one is gone.
func TestCatalogue(t *testing.T) {
	there := map[string]bool{}
	row := regexp.MustCompile(`^[ABEH]-\d\d\b`)
	for _, file := range parsed(t, ".") {
		if strings.HasSuffix(file.name, "catalogue_test.go") {
			continue
		}
		ast.Inspect(file.File, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				text, err := strconv.Unquote(lit.Value)
				check(t, err)
				there[row.FindString(text)] = true
			}
			return true
		})
	}
	for _, number := range numbers() {
		if !there[number] {
			t.Errorf("%s: no case", number)
		}
	}
	for number, tests := range alsoIn {
		for _, test := range tests {
			dir, name, _ := strings.Cut(test, ".")
			if !declares(t, filepath.Join("../../..", dir), name) {
				t.Errorf("%s: there is no %s", number, test)
			}
		}
	}
}

type source struct {
	*ast.File
	name string
}

func parsed(t *testing.T, dir string) (files []source) {
	t.Helper()
	for _, name := range must(filepath.Glob(filepath.Join(dir, "*_test.go")))(t) {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		check(t, err)
		files = append(files, source{file, name})
	}
	return files
}

func declares(t *testing.T, dir, name string) bool {
	for _, file := range parsed(t, dir) {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == name {
				return true
			}
		}
	}
	return false
}
