package content

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// fuzzed are the readers of foreign bytes, "folder function", with the targets that
// fuzz them, in the same folder unless another is named. What other programs of the
// same user could damage on this machine counts as foreign.
var fuzzed = map[string]string{
	"digest Parse": "FuzzParse", "digest ReadSpans": "FuzzReadSpans", "digest ParseTree": "FuzzParseTree",
	"tree Decode":    "FuzzDecode",
	"release Decode": "FuzzDecode", "release ParseMetadata": "FuzzMetadata", "release ParseRef": "FuzzParseRef", "release ParseFilesystem": "FuzzParseFilesystem",
	"trust parseRoot": "FuzzDocuments", "trust parseTimestamp": "FuzzDocuments", "trust parseSnapshot": "FuzzDocuments", "trust parseTargets": "FuzzDocuments", "trust parsePublisher": "FuzzDocuments",
	"trust decodePEM": "FuzzKeyFile", "trust readFloor": "FuzzFloor",
	"delta Decode":   "FuzzDecode",
	"repo ReadIndex": "FuzzReadIndex", "repo ReadSealedIndex": "internal/sealed FuzzReader", "repo ReadSpans": "FuzzReadSpans", "repo ReadSealedSpans": "internal/sealed FuzzReader",
	"repo ReadDelta": "FuzzReadDelta", "repo ReadDeltaMap": "fetch FuzzDeltaMap", "repo ParseRetired": "FuzzParseRetired", "repo ParseFormat": "FuzzParseFormat", "repo Unpack": "FuzzUnpack", "repo decodeFrame": "fetch FuzzFetch",
	"transport/web parseContentRange": "FuzzParseContentRange", "transport/web retryAfter": "FuzzRetryAfter", "transport/web findLogin": "FuzzFindLogin", "transport CheckName": "FuzzCheckName",
	"install decodeSealed": "FuzzDecodeGeneration", "install ParseRemoteFile": "FuzzParseRemoteFile", "install rewriteDesktop": "FuzzRewriteDesktop",
	"internal/keyfile Parse": "FuzzParse", "internal/sealed NewReader": "FuzzReader", "internal/erofs ReadDump": "FuzzDump",
	"convert/tarball Open": "FuzzOpen", "convert/btrfssend Open": "FuzzOpen",
	"deploy ReadNote": "FuzzReadNote", "deploy/fuse Order": "FuzzOrder", "deploy/fuse parseIndex": "FuzzIndex", "store load": "FuzzUnclean",
	"fetch FindRoad": "FuzzPlan",
}

// harmless are exported functions of such names that read nothing foreign, with the
// reason.
var harmless = map[string]string{
	"install ParseWanted": "an argument of the user's own, split at one character",
}

// TestEveryDecoderIsFuzzed looks for exported functions that by their names read bytes,
// and for the targets that are to fuzz them.
func TestEveryDecoderIsFuzzed(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	for reader, target := range fuzzed {
		folder, function, _ := strings.Cut(reader, " ")
		if !declares(t, filepath.Join(root, folder), function) {
			t.Errorf("there is no %s", reader)
		}
		if other, named, elsewhere := strings.Cut(target, " "); elsewhere {
			folder, target = other, named
		}
		if !declares(t, filepath.Join(root, folder), target) {
			t.Errorf("%s: there is no target %s in %s", reader, target, folder)
		}
	}
	reads := regexp.MustCompile(`^(Decode|Parse|Read)([A-Z]|$)`)
	for _, stage := range []string{"digest", "tree", "release", "trust", "delta", "repo", "transport", "fetch", "store", "deploy", "install", "sandbox", "convert", "check", "internal/keyfile", "internal/sealed", "internal/erofs"} {
		err := filepath.WalkDir(filepath.Join(root, stage), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			folder, err := filepath.Rel(root, filepath.Dir(path))
			if err != nil {
				return err
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, decl := range parsed.Decls {
				f, ok := decl.(*ast.FuncDecl)
				if !ok || f.Recv != nil || !reads.MatchString(f.Name.Name) {
					continue
				}
				name := filepath.ToSlash(folder) + " " + f.Name.Name
				if fuzzed[name] == "" && harmless[name] == "" {
					t.Errorf("nothing fuzzes %s", name)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// only64 are folders with targets that do not build for 32 bits, for go-fuse does not.
var only64 = []string{"install", "deploy/fuse"}

// TestTargetsRunOn32Bits: sizes that wrap there do so in what fuzzing found once, too.
func TestTargetsRunOn32Bits(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	rule := regexp.MustCompile(`(?m)^\tGOARCH=386 .*`).FindString(string(readFile(t, filepath.Join(root, "Makefile"))))
	covered := func(folder string) bool {
		return slices.ContainsFunc(strings.Fields(rule), func(word string) bool {
			all, below := strings.CutSuffix(word, "/...")
			return word == "./"+folder || below && strings.HasPrefix("./"+folder+"/", all+"/")
		})
	}
	target := regexp.MustCompile(`(?m)^func Fuzz`)
	targets := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") || !target.Match(readFile(t, path)) {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		targets++
		if folder = filepath.ToSlash(folder); covered(folder) == slices.Contains(only64, folder) {
			t.Errorf("make test-386 and %s: covered %v", folder, covered(folder))
		}
		return err
	})
	if err != nil || targets < 20 {
		t.Errorf("%d files with targets, %v", targets, err)
	}
}
