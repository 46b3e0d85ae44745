package content

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// families are how many cases each family has.
var families = map[byte]int{'C': 22, 'D': 13, 'E': 10, 'F': 14, 'G': 11, 'L': 14}

// elsewhere are cases, or parts of cases, that tests beside the code cover: "folder
// Test" each.
var elsewhere = map[string][]string{
	"C-22": {"deploy/hardlink TestMoreLinksThanTheFileSystemAllows", "deploy/hardlink TestMoreNamesOfASmallFile"},
	"D-10": {"convert/tarball TestSparse"},
	"D-13": {"deploy/deploytest damage", "deploy/fuse TestDamagedBlock", "store TestWrongObjectIsReplaced", "install TestVerifyFindsAndRepairMends"},
	"E-01": {"trust TestEveryByteCounts", "internal/sealed TestEveryFlippedBitAndEveryTruncationIsFound"},
	"F-09": {"digest TestParse", "store TestWrongContent", "store TestWrongObjectIsReplaced"},
	"G-02": {"delta TestHostilePatches", "delta TestDamageIsNoticed"},
	"L-04": {"install TestRewriteDesktop", "install TestExports", "install FuzzRewriteDesktop"},
	"L-11": {"install TestTwoRefsThatExportOneName", "install TestARefInTwoRemotes", "install TestAnotherRemoteOfTheSameName"},
	"L-12": {"install TestRemoteFile", "install FuzzParseRemoteFile", "trust TestBootstrapFromAFakeRoot"},
}

// notApplicable are cases of things that Larch does not have, with the reason.
var notApplicable = map[string]string{}

// TestEveryCaseIsThere looks for each number in the names of this package's subtests.
func TestEveryCaseIsThere(t *testing.T) {
	have := map[string]bool{}
	sources, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`t\.Run\("([A-Z]-[0-9][0-9]) [^"]{10,}"`)
	for _, source := range sources {
		for _, found := range named.FindAllStringSubmatch(string(readFile(t, source)), -1) {
			have[found[1]] = true
		}
	}
	root := filepath.Join("..", "..", "..")
	for number, tests := range elsewhere {
		for _, test := range tests {
			if folder, function, _ := strings.Cut(test, " "); !declares(t, filepath.Join(root, folder), function) {
				t.Errorf("%s: there is no %s in %s", number, function, folder)
			}
		}
		have[number] = true
	}
	for number, why := range notApplicable {
		if have[number] || len(why) < 20 {
			t.Errorf("%s: not applicable, and there", number)
		}
		have[number] = true
	}
	for family, count := range families {
		for n := 1; n <= count; n++ {
			if number := fmt.Sprintf("%c-%02d", family, n); !have[number] {
				t.Errorf("%s is missing", number)
			}
		}
	}
}

// declares tells whether a folder's source has a function of this name.
func declares(t *testing.T, folder, function string) bool {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(folder, e.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == function {
				return true
			}
		}
	}
	return false
}
