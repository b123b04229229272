package control

import (
	"net/http"
	"time"
)

// Limits of a request. They keep a slow or silent client from holding one,
// whatever server the handler runs in; an event stream lifts them for itself.
const (
	readTimeout  = 15 * time.Second
	writeTimeout = 30 * time.Second
)

// apiPolicy is the CSP of everything but the page of the docs: answers are data
// and load nothing.
const apiPolicy = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// harden adds what every answer carries and refuses what a browser sends for
// somebody else's page.
func harden(next http.Handler) http.Handler {
	cop := http.NewCrossOriginProtection()
	cop.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem(http.StatusForbidden, "origin.cross-site", "this request comes from another site").write(w)
	}))
	inner := cop.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", apiPolicy)
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		rc, now := http.NewResponseController(w), time.Now()
		_ = rc.SetReadDeadline(now.Add(readTimeout)) // a recorder of tests has none
		_ = rc.SetWriteDeadline(now.Add(writeTimeout))
		inner.ServeHTTP(w, r)
		_ = rc.SetWriteDeadline(time.Time{}) // the next request may be somebody else's
	})
}
