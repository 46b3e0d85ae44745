package check

// Finding is one thing that is wrong.
type Finding struct {
	Where   string   // the file, relative to what was checked
	Problem string   // what is wrong with it: "is missing"
	Affects []string // what does not work because of it: refs, or refs with a path
	Fix     string   // what to do about it
}
