package local

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

// families says which numbers there are.
var families = []struct {
	letter      string
	first, last int
}{{"I", 1, 23}, {"J", 1, 14}, {"K", 1, 24}}

// elsewhere names tests of other packages that cover a number, wholly or beside the
// ones here, and says what is attacked.
var elsewhere = []struct{ number, what, tests string }{
	{"I-01", "kill -9 before every call that changes something, of every command", "internal/faults.TestFaults internal/faults.TestEveryCommandOnBtrfs"},
	{"I-02", "power cuts of every command, on three file systems", "internal/powercut.TestPowerCut"},
	{"I-03", "killed between the deployment and the switch to it: the plain command again gets there", "install.TestFaultAtEveryChange internal/faults.TestFaults"},
	{"I-04", "contents before what names them, and the head last", "store.TestOrder repo.TestInterruptedPublishLeavesOnlyWhatPruneRemoves internal/powercut.TestPowerCut"},
	{"I-05", "a damaged object under its final name", "store.TestWrongObjectIsReplaced"},
	{"I-06", "what an earlier boot left half written", "store.TestUnclean internal/powercut.TestPowerCut"},
	{"I-07", "what a full disk cut short is never used again", "store.TestFullDisk internal/powercut.TestFullDisk"},
	{"I-08", "every level of a full disk, inodes, quotas", "internal/powercut.TestFullDisk internal/powercut.TestNoInodes internal/faults.TestFaults"},
	{"I-10", "EIO of each call, once and from there on", "internal/faults.TestFaults store.TestFaults internal/powercut.TestBrokenDisk"},
	{"I-13", "a file system without links, before anything is fetched", "install.TestFileSystemWithoutLinks"},
	{"I-15", "transactions and readers at the same time", "install.TestManyAtOnce install.TestASecondProcessWaits"},
	{"I-16", "a wait that is given up", "install.TestASecondProcessWaits"},
	{"I-18", "what runs stays, with all that it is made of", "install.TestWhatRunsStays install.TestRepairOfWhatRuns"},
	{"I-19", "repair from a mirror that has nothing but rubbish (CVE-2026-110450)", "install.TestRepairRemovesNothingFirst"},
	{"I-20", "each file of an installation changed in a dozen ways: bits, zeroes, exchanged, cut, missing, a link, a folder, a fifo", "install.TestVerifyFindsAndRepairMends install.TestVerifyNamesWhatIsAffected install.TestRepairFetchesOnlyWhatIsDamaged install.TestUnreadableGeneration"},
	{"I-23", "later formats of what is signed and of pointers", "install.TestDamagedPointers"},
	{"J-02", "objects and the umask", "store.TestModesDoNotDependOnTheUmask"},
	{"J-04", "a folder that is exchanged for a link while something is made and removed in it", "internal/beneath.TestRacingLinkIsNotFollowed internal/beneath.TestNothingLeadsOut .TestPathsAreResolvedByOnePackage"},
	{"J-13", "an installation that others can write, or whose folders above they can", "install.TestOthersMayNotWrite install.TestFoldersAbove install.TestOnlyAnEmptyFolderBecomesOne"},
	{"K-01", "the session", "sandbox.TestNoWayToTheTerminal"},
	{"K-02", "every number under other ABIs", "sandbox.TestForeignABIs sandbox.TestFilterArguments"},
	{"K-03", "every number from 0 to 1023, on both architectures", "sandbox.TestSystemCalls sandbox.TestFilterNumbers sandbox.TestFilterKnowsFlatpaksVerdicts"},
	{"K-04", "families of sockets; abstract sockets", "sandbox.TestFilterArguments sandbox.TestNoNetwork"},
	{"K-05", "arguments as library calls", "sandbox.TestCommandsAreNoOptions"},
	{"K-06", "metadata in what is signed and installed", "release.TestParseMetadataRefuses install.TestSignedLies"},
	{"K-07", "the whole environment of a program", "sandbox.TestEnvironmentIsClean"},
	{"K-08", "open files of all processes of a sandbox", "sandbox.TestNoLeakedFiles"},
	{"K-09", "fifty combinations of places", "sandbox.TestFilesystems sandbox.TestWhatCannotBeHiddenIsAnError release.TestDescribe"},
	{"K-10", "links of eight names to four targets, and folders of another user", "sandbox.TestDataReplacedByLinks sandbox.TestDataSwappedWhileItStarts sandbox.TestDataFolderOfAnother"},
	{"K-11", "CVE-2026-34078: a place that is given is exchanged while the program starts; what is mounted is what was opened", "sandbox.TestPlaceSwappedWhileItStarts"},
	{"K-14", "CVE-2026-41579, CVE-2025-31133: a tree has links where the sandbox mounts", "sandbox.TestTreeSteersNothing"},
	{"K-15", "loops and long chains of links on the machine", "sandbox.TestChainsOfLinks"},
	{"K-17", "capabilities, users, nosuid", "sandbox.TestNoPrivileges"},
	{"K-18", "Larch's own folders, made before Larch makes them", "sandbox.TestNothingIsPlantedBeforeLarch"},
	{"K-20", "the end of everything with the caller, killed or not", "sandbox.TestEverythingEndsWithTheCaller"},
	{"K-21", "network", "sandbox.TestNoNetwork"},
	{"K-22", "proc and sys", "sandbox.TestProcAndSys"},
	{"K-23", "the machine's own runtime, another architecture, one that is gone", "sandbox.TestRuntimeIsNotReplaced"},
	{"K-24", "bubblewrap missing, setuid, old, broken; namespaces switched off", "sandbox.TestBubblewrapMissingOrUnusable sandbox.TestNamespacesSwitchedOff sandbox.TestNoFilterNoSandbox"},
}

// notApplicable are numbers of what Larch does not have, and why.
var notApplicable = map[string]string{
	"I-14": "Larch writes no boot entries: there is nothing on an ESP to tear",
	"J-07": "there is no privileged helper, nor a socket of one: system-wide changes are made by root's own command",
	"K-16": "there is no proxy for D-Bus: buses are never given (spec/10-sandbox.md, 10.4)",
}

var numbered = regexp.MustCompile(`^([IJK]-\d\d) .`)

// TestEveryNumberIsThere parses the sources: each number has a test here, or one
// elsewhere that exists, or a reason.
func TestEveryNumberIsThere(t *testing.T) {
	have := map[string]int{}
	for _, number := range attacksHere(t) {
		have[number]++
	}
	for _, e := range elsewhere {
		for test := range strings.FieldsSeq(e.tests) {
			at := strings.LastIndex(test, ".")
			if !exists(t, test[:at], test[at+1:]) {
				t.Errorf("%s: there is no %s", e.number, test)
			}
		}
		have[e.number]++
	}
	for _, f := range families {
		for n := f.first; n <= f.last; n++ {
			number := fmt.Sprintf("%s-%02d", f.letter, n)
			_, excused := notApplicable[number]
			if (have[number] > 0) == excused {
				t.Errorf("%s: %d tests, excused: %v", number, have[number], excused)
			}
			delete(have, number)
		}
	}
	if len(have) > 0 {
		t.Errorf("of no family: %v", have)
	}
}

// attacksHere gives the numbers that calls of attack name.
func attacksHere(t *testing.T) (numbers []string) {
	for _, file := range parsed(t, ".") {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if fun, ok := call.Fun.(*ast.Ident); !ok || fun.Name != "attack" || len(call.Args) != 4 {
				return true
			}
			name := call.Args[1]
			if sum, ok := name.(*ast.BinaryExpr); ok {
				name = sum.X
			}
			text := literal(t, name)
			match := numbered.FindStringSubmatch(text + "x")
			if match == nil {
				t.Fatalf("%q has no number", text)
			}
			if literal(t, call.Args[2]) == "" {
				t.Errorf("%s does not say why", match[1])
			}
			numbers = append(numbers, match[1])
			return true
		})
	}
	return numbers
}

func literal(t *testing.T, e ast.Expr) string {
	t.Helper()
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		t.Fatalf("%T where a text is expected", e)
	}
	text, err := strconv.Unquote(lit.Value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// exists tells whether a package of the module has a test.
func exists(t *testing.T, pkg, test string) bool {
	return slices.ContainsFunc(parsed(t, filepath.Join("../../..", pkg)), func(f *ast.File) bool {
		return slices.ContainsFunc(f.Decls, func(d ast.Decl) bool {
			fn, ok := d.(*ast.FuncDecl)
			return ok && fn.Recv == nil && fn.Name.Name == test
		})
	})
}

func parsed(t *testing.T, dir string) (files []*ast.File) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s has no tests: %v", dir, err)
	}
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}
