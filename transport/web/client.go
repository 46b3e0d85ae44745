package web

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/http/httpproxy"
)

const (
	maxConnections = 8        // to one host, over HTTP/1.1; HTTP/2 needs one
	maxHeader      = 64 << 10 // bytes of an answer's header
	dialTime       = 10 * time.Second
	idleTime       = 90 * time.Second
	pingTime       = 10 * time.Second
	streamWindow   = 2 << 20 // bytes of one HTTP/2 answer that may wait to be read: 20 MB/s over 100 ms
)

// newClient sets up net/http. Only RoundTrip is used: redirects, credentials
// and retries are ours.
func newClient(opt Options) *http.Transport {
	dial := opt.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTime}).DialContext
	}
	return &http.Transport{
		Proxy:                  proxy(opt.Getenv),
		DialContext:            dial,
		TLSClientConfig:        &tls.Config{RootCAs: opt.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    dialTime,
		ResponseHeaderTimeout:  opt.StallTime,
		MaxResponseHeaderBytes: maxHeader,
		MaxConnsPerHost:        maxConnections,
		MaxIdleConns:           2 * maxConnections,
		MaxIdleConnsPerHost:    maxConnections,
		IdleConnTimeout:        idleTime,
		DisableCompression:     true, // offsets are those of the file
		ForceAttemptHTTP2:      true,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream: streamWindow,
			SendPingTimeout:           pingTime, // finds a dead connection before a retry uses it again
			PingTimeout:               pingTime,
		},
	}
}

// proxy chooses as net/http does, but by the environment that it is given.
func proxy(getenv func(string) string) func(*http.Request) (*url.URL, error) {
	either := func(upper, lower string) string {
		if v := getenv(upper); v != "" {
			return v
		}
		return getenv(lower)
	}
	config := httpproxy.Config{
		HTTPProxy:  either("HTTP_PROXY", "http_proxy"),
		HTTPSProxy: either("HTTPS_PROXY", "https_proxy"),
		NoProxy:    either("NO_PROXY", "no_proxy"),
		CGI:        getenv("REQUEST_METHOD") != "",
	}
	choose := config.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return choose(r.URL) }
}
