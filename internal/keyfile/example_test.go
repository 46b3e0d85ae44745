package keyfile_test

import (
	"fmt"

	"github.com/larch-project/larch/internal/keyfile"
)

func Example() {
	f, err := keyfile.Parse([]byte("[Application]\nname=org.example.Editor\ntags=text;writing;\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	name, _ := f.Group("Application").String("name")
	tags, _ := f.Group("Application").List("tags")
	fmt.Println(name, tags)

	_, err = keyfile.Parse([]byte("[Context]\nshared=ipc;\n[Context]\nshared=network;\n"))
	fmt.Println(err)
	// Output:
	// org.example.Editor [text writing]
	// not a key file: line 3: group "Context" is there twice
}
