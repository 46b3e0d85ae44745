// Package keyfile reads and writes GLib's key files: the form of an application's
// metadata, of desktop entries and of D-Bus service files.
//
// A key file is lines: groups in brackets, and below each its keys with values.
//
//	[Application]
//	name=org.example.Editor
//	tags=text;writing;
//
// Those who wrote these files before us read them leniently: a second group of a
// name is merged into the first, the last of two equal keys counts, a NUL ends
// the text. Each of these has let a file mean one thing to the program that shows
// it and another to the one that obeys it (CVE-2021-43860). So this reader refuses
// what two readers could understand differently: duplicate groups and keys,
// control characters, bytes that are no UTF-8, lines that are nothing, unknown
// escapes. What it accepts, GLib reads the same way.
package keyfile
