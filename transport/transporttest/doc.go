// Package transporttest has what tests of transports need, and tests of what is
// built upon them: Run, the suite that every transport passes, and Server, a web
// server that answers well or badly as a script says.
//
//	server := transporttest.NewServer(os.DirFS(dir))
//	server.Next(transporttest.Status(503), transporttest.CutAfter(1000))
//	repository, err := web.New(transporttest.Address, web.Options{Dial: transporttest.Pipe(t, server)})
//
// Pipe connects in memory, so that such a test can run in a synctest bubble,
// where half a minute of silence takes no time. A Server is an http.Handler too,
// and httptest.NewServer puts it on the loopback interface.
package transporttest
